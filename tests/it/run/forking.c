/* A preloaded library. With $SLOW_SESSION a new session takes 100 ms. With $LATE_THREAD a thread is started by the first socketpair,
 * which is after `main` has begun, and every fork happens while that thread holds a lock that write takes too, as an allocator's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int forks, holds;

static void *hold(void *unused)
{
    for (;;) {
        while (!forks)
            usleep(50);
        pthread_mutex_lock(&lock);
        holds = 1;
        while (forks)
            usleep(50);
        holds = 0;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void before(void)
{
    forks = 1;
    while (!holds)
        usleep(50);
}

static void after(void)
{
    forks = 0;
    while (holds)
        usleep(50);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    static atomic_int is_started;
    pthread_t thread;
    if (getenv("LATE_THREAD") != NULL && !atomic_exchange(&is_started, 1)) {
        if (pthread_create(&thread, NULL, hold, NULL) != 0 || pthread_atfork(before, after, NULL) != 0)
            abort();
    }
    return syscall(SYS_socketpair, domain, type, protocol, fds);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    pthread_mutex_lock(&lock);
    ssize_t written = syscall(SYS_write, fd, bytes, length);
    pthread_mutex_unlock(&lock);
    return written;
}

pid_t setsid(void)
{
    if (getenv("SLOW_SESSION") != NULL)
        usleep(100000);
    return syscall(SYS_setsid);
}
