/* What a program sees of libc: paths of cameras lead to $VCAM_ROOT, descriptors of cameras to camera.c. See vcam.h. */
#define _GNU_SOURCE
#include "vcam.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct camera *cameras[FDS];

static struct camera *camera_of(int fd) { return fd >= 0 && fd < FDS ? cameras[fd] : NULL; }

/* The number of /dev/videoN, or -1. */
static int number_of(const char *path) {
  char *end;
  if (!path || strncmp(path, "/dev/video", 10) || !path[10]) return -1;
  long number = strtol(path + 10, &end, 10);
  return *end || number < 0 || number >= CAMERAS ? -1 : (int)number;
}

/* Where a path really is; into is as long as PATH_MAX. */
static const char *redirect(const char *path, char *into) {
  static const char *const OURS[] = {"/dev/v4l/", "/sys/class/video4linux"};
  int is_ours = path && !strcmp(path, "/dev");
  for (int i = 0; i < 2 && path; i++) is_ours |= !strncmp(path, OURS[i], strlen(OURS[i]));
  if (!is_ours) return path;
  snprintf(into, 4096, "%s%s", vcam_root(), path);
  return into;
}

static int open_camera(int number, int flags) {
  struct camera *c = calloc(1, sizeof *c);
  int ends[2];
  pthread_condattr_t clock;
  c->number = number;
  c->memory = -1;
  snprintf(c->path, sizeof c->path, "%.400s/dev/video%d", vcam_root(), number);
  int refusal = REAL(stat)(c->path, &c->identity) || vcam_load_config(c->path, &c->config) ? ENOENT
                : c->config.deny ? EACCES : 0;
  if (refusal) {
    free(c);
    errno = refusal;
    return -1;
  }
  int type = SOCK_STREAM | SOCK_CLOEXEC | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0);
  if (socketpair(AF_UNIX, type, 0, ends)) abort();
  c->fd = ends[0];
  c->peer = ends[1];
  c->fps = c->config.formats[0].fps[0];
  pthread_mutex_init(&c->lock, NULL);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&c->wake, &clock);
  if (c->fd >= FDS) abort();
  cameras[c->fd] = c;
  return c->fd;
}

#define MODE                                   \
  int mode = 0;                                \
  if (flags & (O_CREAT | __O_TMPFILE)) {       \
    va_list arguments;                         \
    va_start(arguments, flags);                \
    mode = va_arg(arguments, int);             \
    va_end(arguments);                         \
  }

#define OPEN(name)                                                              \
  int name(const char *path, int flags, ...) {                                  \
    MODE                                                                        \
    char buffer[4096];                                                          \
    int number = number_of(path);                                               \
    if (number >= 0) return open_camera(number, flags);                         \
    return REAL(openat)(AT_FDCWD, redirect(path, buffer), flags, mode);         \
  }
OPEN(open)
OPEN(open64)

DIR *opendir(const char *path) {
  char buffer[4096];
  return REAL(opendir)(redirect(path, buffer));
}

ssize_t readlink(const char *path, char *target, size_t size) {
  char buffer[4096];
  return REAL(readlink)(redirect(path, buffer), target, size);
}

int close(int fd) {
  struct camera *c = camera_of(fd);
  if (c) {
    cameras[fd] = NULL;
    vcam_release(c);
  }
  return REAL(close)(fd);
}

static int camera_ioctl(struct camera *c, unsigned long request, void *argument) {
  pthread_mutex_lock(&c->lock);
  int error = vcam_handle(c, (unsigned)request, argument);
  pthread_mutex_unlock(&c->lock);
  if (!error) return 0;
  errno = error;
  return -1;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  struct camera *c = camera_of(fd);
  return c ? camera_ioctl(c, request, argument) : REAL(ioctl)(fd, request, argument);
}

/* The v4l crate calls ioctl by its number. */
long syscall(long number, ...) {
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  struct camera *c = number == SYS_ioctl ? camera_of((int)a[0]) : NULL;
  if (c) return camera_ioctl(c, (unsigned long)a[1], (void *)a[2]);
  return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define MMAP(name)                                                                     \
  void *name(void *at, size_t length, int protection, int flags, int fd, off_t offset) { \
    struct camera *c = flags & MAP_ANONYMOUS ? NULL : camera_of(fd);                   \
    return REAL(name)(at, length, protection, flags, c ? c->memory : fd, offset);      \
  }
MMAP(mmap)
MMAP(mmap64)
