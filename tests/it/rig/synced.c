// Loaded into a redis-server: notes, after each sync of its log of writes, how many bytes of it are on the disk. A test
// that kills the server can then take from the log what a machine that loses power would.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, ".incr.aof") != NULL;
}

int fdatasync(int fd) {
    struct stat before;
    int known = fstat(fd, &before) == 0;
    int result = (int)syscall(SYS_fdatasync, fd);
    const char *note = getenv("SYNCED_NOTE");
    if (result == 0 && known && note != NULL && is_log(fd)) {
        char text[32];
        // Always as long, so that the file is whole at any time.
        int length = snprintf(text, sizeof text, "%020lld\n", (long long)before.st_size);
        int file = open(note, O_WRONLY | O_CREAT, 0600);
        if (file < 0 || pwrite(file, text, (size_t)length, 0) != length) abort();
        close(file);
    }
    return result;
}
