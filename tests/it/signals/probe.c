/* The process whose signals the tests count, and the one that sends them. Prints "ready PID PARENT GROUP", then a line
 * "NUMBER VALUE" for each signal that arrives (VALUE is "-" if none came with it), and ends after the last real-time signal.
 * Takes "kill TARGET NUMBER", "queue PID NUMBER VALUE" and "turn GAP NUMBER PID..." (to one process after the other, GAP
 * microseconds apart; a process that is gone is skipped) on stdin; a sender answers "sent". */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int in_turn(char *words)
{
    char *rest = NULL;
    long gap = strtol(strtok_r(words, " \n", &rest), NULL, 10);
    int number = atoi(strtok_r(NULL, " \n", &rest));
    for (char *pid; (pid = strtok_r(NULL, " \n", &rest)) != NULL;) {
        struct timespec now, end;
        if (kill(atoi(pid), number) != 0 && errno != ESRCH)
            return -1;
        if (gap >= 1000) {
            poll(NULL, 0, (int)(gap / 1000));
            continue;
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        do
            clock_gettime(CLOCK_MONOTONIC, &now);
        while ((now.tv_sec - end.tv_sec) * 1000000 + (now.tv_nsec - end.tv_nsec) / 1000 < gap);
    }
    return 0;
}

static void heard(int number, siginfo_t *info, void *context)
{
    char line[64], digits[16];
    int length = 0, at = 0;
    (void)context;
    for (int rest = number; rest > 0; rest /= 10)
        digits[at++] = (char)('0' + rest % 10);
    while (at > 0)
        line[length++] = digits[--at];
    line[length++] = ' ';
    if (info->si_code == SI_QUEUE) {
        /* The tests send small values that are not negative. */
        int rest = info->si_value.sival_int;
        do
            digits[at++] = (char)('0' + rest % 10);
        while ((rest /= 10) > 0);
        while (at > 0)
            line[length++] = digits[--at];
    } else {
        line[length++] = '-';
    }
    line[length++] = '\n';
    if (write(1, line, (size_t)length) != length)
        _exit(1);
    if (number == SIGRTMAX)
        _exit(0);
}

int main(int count, char **words)
{
    int sender = count > 1 && strcmp(words[1], "sender") == 0;
    struct sigaction action;
    sigset_t all;
    char line[128];
    if (!sender) {
        /* Signals that were blocked at the start arrive as well, and none before "ready". */
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        memset(&action, 0, sizeof action);
        action.sa_sigaction = heard;
        action.sa_flags = SA_SIGINFO | SA_RESTART;
        sigfillset(&action.sa_mask);
        for (int number = 1; number <= SIGRTMAX; number++)
            sigaction(number, &action, NULL);
        printf("ready %d %d %d\n", getpid(), getppid(), getpgrp());
        fflush(stdout);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        int target, number, value;
        int failed;
        if (strncmp(line, "turn ", 5) == 0) {
            failed = in_turn(line + 5);
        } else if (sscanf(line, "kill %d %d", &target, &number) == 2) {
            failed = kill(target, number);
        } else if (sscanf(line, "queue %d %d %d", &target, &number, &value) == 3) {
            union sigval with;
            with.sival_int = value;
            failed = sigqueue(target, number, with);
        } else {
            return 2;
        }
        if (failed)
            return 3;
        if (sender) {
            puts("sent");
            fflush(stdout);
        }
    }
    while (!sender)
        pause();
    return 0;
}
