// To be loaded into a program: the password database is a server that never answers. Says on stdout that it was asked.

#include <pwd.h>
#include <unistd.h>

int getpwuid_r(uid_t uid, struct passwd *entry, char *text, size_t size, struct passwd **found)
{
    (void)uid, (void)entry, (void)text, (void)size;
    *found = NULL;
    if (write(STDOUT_FILENO, "asked\n", 6) == 6)
        for (;;)
            pause();
    return 0;
}
