// A process that is hard to stop. `leftover titled` overwrites its environment in place, as setproctitle does. `leftover
// hopping` ignores SIGTERM and every 2 ms continues in a child of its own. `leftover breeding` ignores SIGTERM and forks a
// child every 2 ms that ignores it too. Prints its pid. Ends after a minute.
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    const char *kind = argc > 1 ? argv[1] : "";
    printf("%d\n", getpid());
    fflush(stdout);
    if (strcmp(kind, "titled") == 0) {
        char *end = environ[0];
        for (char **entry = environ; *entry; entry++)
            end = *entry + strlen(*entry);
        memset(environ[0], ' ', (size_t)(end - environ[0]));
        puts("titled");
        fflush(stdout);
        alarm(60);
        return pause();
    }
    signal(SIGTERM, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    close(0), close(1), close(2);
    for (int turn = 0; turn < 3000; turn++) {
        poll(NULL, 0, 2);
        pid_t child = fork();
        if (strcmp(kind, "hopping") == 0 && child > 0)
            return 0;
        if (strcmp(kind, "breeding") == 0 && child == 0) {
            alarm(60);
            return pause();
        }
    }
    return 0;
}
