// refuse CALLS ERRNO COMMAND [ARG]...: executes COMMAND, for which the kernel refuses CALLS with ERRNO, as an old kernel, a
// container's seccomp profile or a file system without locks would. CALLS is the number of one system call, `pidfd`, `locks` (of
// processes, as SQLite takes them) or `all-locks` (also of open file descriptions, as runwrap's journals take them, and flock).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    unsigned refused = SECCOMP_RET_ERRNO | (atoi(argv[2]) & SECCOMP_RET_DATA);
    struct sock_filter locks[] = {
        LOAD(nr), UNLESS(SYS_fcntl, 5), LOAD(args[1]), UNLESS(F_SETLK, 1), RETURN(refused),
        UNLESS(F_SETLKW, 1), RETURN(refused), RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_filter all_locks[] = {
        LOAD(nr), UNLESS(SYS_flock, 1), RETURN(refused), UNLESS(SYS_fcntl, 9), LOAD(args[1]),
        UNLESS(F_SETLK, 1), RETURN(refused), UNLESS(F_SETLKW, 1), RETURN(refused),
        UNLESS(F_OFD_SETLK, 1), RETURN(refused), UNLESS(F_OFD_GETLK, 1), RETURN(refused), RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_filter pidfd[] = {
        LOAD(nr), UNLESS(SYS_pidfd_open, 1), RETURN(refused), UNLESS(SYS_pidfd_send_signal, 1), RETURN(refused),
        RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_filter one[] = {LOAD(nr), UNLESS(atoi(argv[1]), 1), RETURN(refused), RETURN(SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {sizeof one / sizeof *one, one};
    if (strcmp(argv[1], "pidfd") == 0)
        filter = (struct sock_fprog){sizeof pidfd / sizeof *pidfd, pidfd};
    if (strcmp(argv[1], "locks") == 0)
        filter = (struct sock_fprog){sizeof locks / sizeof *locks, locks};
    if (strcmp(argv[1], "all-locks") == 0)
        filter = (struct sock_fprog){sizeof all_locks / sizeof *all_locks, all_locks};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        perror("refuse");
        return 2;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 2;
}
