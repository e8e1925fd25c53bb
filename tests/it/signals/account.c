// Preloaded into a program: a slow password database without entries. Prints a line to stdout when it is queried, and answers
// when there is a line on stdin.

#include <pwd.h>
#include <unistd.h>

int getpwuid_r(uid_t uid, struct passwd *entry, char *text, size_t size, struct passwd **found)
{
    (void)uid, (void)entry, (void)text, (void)size;
    char answer;
    *found = NULL;
    if (write(STDOUT_FILENO, "asked\n", 6) == 6)
        while (read(STDIN_FILENO, &answer, 1) < 0)
            continue;
    return 0;
}
