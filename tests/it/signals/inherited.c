/* Prints everything that a process inherits, one fact a line. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static const char *const files[] = {"status", "limits", "oom_score_adj", "coredump_filter", "timerslack_ns", "cgroup",
                                    "personality"};
static const char *const links[] = {"cwd", "root", "ns/mnt", "ns/pid", "ns/net", "ns/uts", "ns/ipc", "ns/user"};
/* Lines of the status that are the process's own, and not inherited. */
static const char *const own[] = {"Name", "State", "Pid", "PPid", "Tgid", "Ngid", "NStgid", "NSpid", "NSpgid", "NSsid", "FDSize",
                                  "Vm", "Rss", "Huge", "SigQ", "CoreDumping", "Threads", "voluntary", "nonvoluntary", "x86"};

static int is_own(const char *line)
{
    for (size_t at = 0; at < sizeof own / sizeof *own; at++)
        if (strncmp(line, own[at], strlen(own[at])) == 0)
            return 1;
    return 0;
}

static void copy(const char *name)
{
    char path[64], line[8192];
    FILE *file;
    snprintf(path, sizeof path, "/proc/self/%s", name);
    if ((file = fopen(path, "r")) == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL)
        if (strcmp(name, "status") != 0 || !is_own(line))
            printf("%s %s", name, line);
    fclose(file);
}

static void follow(const char *name)
{
    char path[64], target[4096];
    ssize_t length;
    snprintf(path, sizeof path, "/proc/self/%s", name);
    if ((length = readlink(path, target, sizeof target)) > 0)
        printf("%s %.*s\n", name, (int)length, target);
}

static int by_number(const struct dirent **left, const struct dirent **right)
{
    return atoi((*left)->d_name) - atoi((*right)->d_name);
}

int main(int count, char **words)
{
    struct dirent **descriptors;
    int found, tty;
    for (int at = 0; at < count; at++)
        printf("word %s\n", words[at]);
    for (char **entry = environ; *entry != NULL; entry++)
        printf("environment %s\n", *entry);
    found = scandir("/proc/self/fd", &descriptors, NULL, by_number);
    for (int at = 0; at < found; at++) {
        int fd = atoi(descriptors[at]->d_name);
        char name[32];
        if (descriptors[at]->d_name[0] == '.' || fcntl(fd, F_GETFD) == -1)
            continue;
        snprintf(name, sizeof name, "fd/%d", fd);
        follow(name);
        printf("%s flags %x %x at %ld\n", name, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL), (long)lseek(fd, 0, SEEK_CUR));
    }
    for (size_t at = 0; at < sizeof files / sizeof *files; at++)
        copy(files[at]);
    for (size_t at = 0; at < sizeof links / sizeof *links; at++)
        follow(links[at]);
    printf("nice %d\nscheduler %d\nio %ld\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0),
           syscall(SYS_ioprio_get, 1, 0));
    printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
    printf("group %d\nsession %d\n", getpgrp(), getsid(0));
    if ((tty = open("/dev/tty", O_RDWR)) != -1)
        printf("foreground %s\n", tcgetpgrp(tty) == getpgrp() ? "yes" : "no");
    return 0;
}
