/* Records every change of the files below $RECORD_ROOT that this process makes, in order, into $RECORD_LOG.
 *
 *     cc -shared -fPIC -O1 -o recorder.so recorder.c -ldl -lpthread;  LD_PRELOAD=recorder.so RECORD_ROOT=... RECORD_LOG=...
 *
 * A record is one byte of kind, four little-endian 64-bit numbers (file, offset, length of text, length of data), the text
 * and the data. A file is numbered when it is created, so it keeps its number through renames:
 *
 *     C created (text: path)      E an older file opened (text: path)   W written (offset, data)   T cut to offset
 *     S synced                    D directory synced (text: path)       R renamed (text: old\0new) U removed (text: path)
 *     F file system synced
 *     M directory made            A something was acknowledged: what was written to $RECORD_ROOT/acknowledged (data)
 *
 * Changes made in any other way (mmap, fallocate, sendfile ...) are not seen; the test notices, because a replay of
 * everything must give the directory as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096
#define ACKNOWLEDGED (-2)
#define DIRECTORY (-3)

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static char root[4096];
static size_t root_length;
static int log_fd = -1;
static struct { dev_t device; ino_t inode; } files[FILES];
static int file_count;
static int number_of[FILES];       /* by descriptor: 0 not ours, n + 1 a file, or one of the constants */
static char *directory_of[FILES];  /* by descriptor */

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void put(const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t done = REAL(ssize_t, write, int, const void *, size_t)(log_fd, at, size);
        if (done <= 0) abort();
        at += done;
        size -= (size_t)done;
    }
}

static void record(char kind, int file, uint64_t offset, const char *text, size_t text_size, const void *data, size_t size) {
    uint64_t numbers[4] = {(uint64_t)file, offset, text_size, size};
    put(&kind, 1);
    put(numbers, sizeof numbers);
    put(text, text_size);
    put(data, size);
}

__attribute__((constructor)) static void start(void) {
    const char *where = getenv("RECORD_ROOT"), *log = getenv("RECORD_LOG");
    if (!where || !log) return;
    snprintf(root, sizeof root, "%s", where);
    root_length = strlen(root);
    log_fd = REAL(int, open, const char *, int, ...)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
}

static int ours(const char *path) {
    return log_fd >= 0 && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int number(const struct stat *found, int created) {
    for (int i = file_count - 1; !created && i >= 0; i--)
        if (files[i].device == found->st_dev && files[i].inode == found->st_ino) return i;
    if (file_count == FILES) abort();
    files[file_count].device = found->st_dev;
    files[file_count].inode = found->st_ino;
    return file_count++;
}

static int opened(int directory, const char *path, int flags, mode_t mode) {
    int (*open_real)(int, const char *, int, ...) = real("openat");
    if (!ours(path)) return open_real(directory, path, flags, mode);
    pthread_mutex_lock(&order);
    struct stat found;
    int existed = !stat(path, &found);
    int fd = open_real(directory, path, flags, mode);
    int failure = errno;
    if (fd >= FILES) abort();
    if (fd >= 0) {
        const char *tail = path + root_length;
        fstat(fd, &found);
        if (S_ISDIR(found.st_mode)) {
            number_of[fd] = DIRECTORY;
            free(directory_of[fd]);
            directory_of[fd] = strdup(path);
        } else if (!strcmp(tail, "/acknowledged")) {
            number_of[fd] = ACKNOWLEDGED;
        } else {
            int before = file_count, file = number(&found, !existed);
            number_of[fd] = file + 1;
            if (file_count != before) record(existed ? 'E' : 'C', file, 0, path, strlen(path), NULL, 0);
            if (existed && flags & O_TRUNC) record('T', file, 0, NULL, 0, NULL, 0);
        }
    }
    pthread_mutex_unlock(&order);
    errno = failure;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }

int close(int fd) {
    pthread_mutex_lock(&order);
    if (fd >= 0 && fd < FILES) number_of[fd] = 0;
    int done = REAL(int, close, int)(fd);
    pthread_mutex_unlock(&order);
    return done;
}

static ssize_t wrote(int fd, const void *data, size_t size, off_t offset, int at_offset) {
    int file = fd >= 0 && fd < FILES ? number_of[fd] : 0;
    if (!file)
        return at_offset ? REAL(ssize_t, pwrite64, int, const void *, size_t, off_t)(fd, data, size, offset)
                         : REAL(ssize_t, write, int, const void *, size_t)(fd, data, size);
    pthread_mutex_lock(&order);
    if (!at_offset) offset = lseek(fd, 0, SEEK_CUR);
    ssize_t done = at_offset ? REAL(ssize_t, pwrite64, int, const void *, size_t, off_t)(fd, data, size, offset)
                             : REAL(ssize_t, write, int, const void *, size_t)(fd, data, size);
    int failure = errno;
    if (done > 0 && file == ACKNOWLEDGED) record('A', 0, 0, NULL, 0, data, (size_t)done);
    if (done > 0 && file > 0) record('W', file - 1, (uint64_t)offset, NULL, 0, data, (size_t)done);
    pthread_mutex_unlock(&order);
    errno = failure;
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return wrote(fd, data, size, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return wrote(fd, data, size, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return wrote(fd, data, size, offset, 1); }

static int cut(int fd, off_t size) {
    pthread_mutex_lock(&order);
    int done = REAL(int, ftruncate64, int, off_t)(fd, size), failure = errno;
    if (!done && fd < FILES && number_of[fd] > 0) record('T', number_of[fd] - 1, (uint64_t)size, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = failure;
    return done;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int synced(const char *name, int fd) {
    pthread_mutex_lock(&order);
    int done = ((int (*)(int))real(name))(fd), failure = errno;
    int file = fd >= 0 && fd < FILES ? number_of[fd] : 0;
    if (!done && file > 0) record('S', file - 1, 0, NULL, 0, NULL, 0);
    if (!done && file == DIRECTORY) record('D', 0, 0, directory_of[fd], strlen(directory_of[fd]), NULL, 0);
    pthread_mutex_unlock(&order);
    errno = failure;
    return done;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

int syncfs(int fd) {
    pthread_mutex_lock(&order);
    int done = REAL(int, syncfs, int)(fd), failure = errno;
    if (!done && fd >= 0 && fd < FILES && number_of[fd] == DIRECTORY) record('F', 0, 0, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = failure;
    return done;
}

int rename(const char *old, const char *new) {
    if (!ours(old) && !ours(new)) return REAL(int, rename, const char *, const char *)(old, new);
    pthread_mutex_lock(&order);
    int done = REAL(int, rename, const char *, const char *)(old, new), failure = errno;
    if (!done) {
        char both[8192];
        int size = snprintf(both, sizeof both, "%s%c%s", old, 0, new);
        record('R', 0, 0, both, (size_t)size, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    errno = failure;
    return done;
}

int unlink(const char *path) {
    if (!ours(path)) return REAL(int, unlink, const char *)(path);
    pthread_mutex_lock(&order);
    int done = REAL(int, unlink, const char *)(path), failure = errno;
    if (!done) record('U', 0, 0, path, strlen(path), NULL, 0);
    pthread_mutex_unlock(&order);
    errno = failure;
    return done;
}

int mkdir(const char *path, mode_t mode) {
    if (!ours(path)) return REAL(int, mkdir, const char *, mode_t)(path, mode);
    pthread_mutex_lock(&order);
    int done = REAL(int, mkdir, const char *, mode_t)(path, mode), failure = errno;
    if (!done) record('M', 0, 0, path, strlen(path), NULL, 0);
    pthread_mutex_unlock(&order);
    errno = failure;
    return done;
}
