// Loaded into a redis-server, to do to its log of writes what a machine would that loses power, or a SIGKILL:
//
// - After each sync, the file AOF_SYNCED says how many bytes of the log are on the disk. A test that kills the server can
//   then take the rest away.
// - When there is a file AOF_TEAR, the next write of several commands ends in its middle, and the server with it.

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
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
    const char *note = getenv("AOF_SYNCED");
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

// Long enough for more than one command.
enum { TORN_MIN = 512 };

ssize_t write(int fd, const void *bytes, size_t count) {
    const char *tear = getenv("AOF_TEAR");
    if (count >= TORN_MIN && tear != NULL && access(tear, F_OK) == 0 && is_log(fd)) {
        if (unlink(tear) != 0) abort();
        syscall(SYS_write, fd, bytes, count / 2);
        kill(getpid(), SIGKILL);
    }
    return syscall(SYS_write, fd, bytes, count);
}
