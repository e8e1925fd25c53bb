// Preloaded into a program: the locks of open file descriptions below the directory $NODE_LOCKS are local to this node, as on
// NFS with nolock. The bytes that a lock covers are shifted: no lock of another node conflicts. Without $NODE_SHIFT, every lock
// succeeds and covers nothing.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_local(int fd)
{
    char name[64], path[PATH_MAX];
    const char *directory = getenv("NODE_LOCKS");
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (!directory || length < 0)
        return 0;
    path[length] = '\0';
    return strncmp(path, directory, strlen(directory)) == 0;
}

static int lock(const char *symbol, int fd, int command, void *argument)
{
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, symbol);
    if ((command != F_OFD_SETLK && command != F_OFD_GETLK) || !is_local(fd))
        return real(fd, command, argument);
    struct flock *range = argument;
    const char *shift = getenv("NODE_SHIFT");
    if (!shift) {
        range->l_type = command == F_OFD_GETLK ? F_UNLCK : range->l_type;
        return 0;
    }
    range->l_start += atol(shift);
    int result = real(fd, command, range);
    range->l_start -= atol(shift);
    return result;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return lock("fcntl", fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return lock("fcntl64", fd, command, argument);
}
