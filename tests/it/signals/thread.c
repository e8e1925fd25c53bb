/* A preloaded library, as agents for monitoring are: a constructor starts a thread, which blocks no signal. */
#include <pthread.h>
#include <unistd.h>

static void *wait_for_ever(void *nothing)
{
    (void)nothing;
    for (;;)
        pause();
    return NULL;
}

__attribute__((constructor)) static void start(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_ever, NULL);
}
