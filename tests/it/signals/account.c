// To be loaded into a program: the password database is a server that knows nobody, and takes its time. Says on stdout that it
// was asked, and answers when there is something on stdin.

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
