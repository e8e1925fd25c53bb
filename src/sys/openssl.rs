//! Starts OpenSSL without a configuration file. Must be the first use of OpenSSL in the process.

use std::sync::Once;

/// Not in `openssl-sys`.
const OPENSSL_INIT_NO_LOAD_CONFIG: u64 = 0x80;

/// A file of `OPENSSL_CONF` could load engines and providers, which would run foreign code beside the password.
pub fn start() {
    static STARTED: Once = Once::new();
    let options = OPENSSL_INIT_NO_LOAD_CONFIG | openssl_sys::OPENSSL_INIT_NO_ATEXIT;
    STARTED.call_once(|| {
        // SAFETY: any thread may call it at any time; a null pointer stands for no settings. If it fails, every later call
        // of OpenSSL fails too, and reports it.
        let _started = unsafe { openssl_sys::OPENSSL_init_ssl(options, std::ptr::null()) };
    });
}
