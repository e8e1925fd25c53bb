/* A disk that stalls: fsync and fdatasync of what is below $DISK wait while the file $STALLED exists. One call fails with
 * EIO, and removes the file, while $FAILING exists. Each call adds the path to the file $SYNCS, if that is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int below_disk(int fd, char *path, size_t size)
{
    char link[64];
    const char *disk = getenv("DISK");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 2);
    if (disk == NULL || length < 0)
        return 0;
    path[length] = 0;
    return strncmp(path, disk, strlen(disk)) == 0;
}

static int synced(int fd, const char *call)
{
    char path[4096];
    if (below_disk(fd, path, sizeof path)) {
        const char *stalled = getenv("STALLED"), *failing = getenv("FAILING"), *syncs = getenv("SYNCS");
        while (stalled != NULL && access(stalled, F_OK) == 0)
            usleep(5000);
        if (syncs != NULL) {
            int log = open(syncs, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            strcat(path, "\n");
            if (log < 0 || write(log, path, strlen(path)) < 0)
                abort();
            close(log);
        }
        if (failing != NULL && unlink(failing) == 0) {
            errno = EIO;
            return -1;
        }
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    return real(fd);
}

int fsync(int fd)
{
    return synced(fd, "fsync");
}

int fdatasync(int fd)
{
    return synced(fd, "fdatasync");
}
