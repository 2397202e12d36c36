/* A wall clock that a test sets, for programs started under LD_PRELOAD. The file that WALL_CLOCK names holds a number of
 * seconds to add to the machine's clock, and whether the kernel says that this is the right time: two 64-bit integers.
 * Clocks that count from the boot are left alone. Build: gcc -shared -fPIC wallclock.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

struct setting {
    int64_t offset, synchronised;
};

static const volatile struct setting *setting(void)
{
    static const volatile struct setting *mapped;
    if (!mapped) {
        int file = open(getenv("WALL_CLOCK"), O_RDONLY | O_CLOEXEC);
        void *found = mmap(0, sizeof *mapped, PROT_READ, MAP_SHARED, file, 0);
        if (found == MAP_FAILED)
            abort();
        close(file);
        mapped = found;
    }
    return mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += setting()->offset;
    return failed;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

int adjtimex(struct timex *out)
{
    out->status = setting()->synchronised ? 0 : STA_UNSYNC;
    return setting()->synchronised ? TIME_OK : TIME_ERROR;
}
