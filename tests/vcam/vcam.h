/* An LD_PRELOAD V4L2 camera for tests: Linux, glibc, dynamically linked programs. No root, no kernel module.
 *
 *   cc -O2 -Wall -Wextra -Werror -fPIC -shared -o vcam.so camera.c hooks.c -ldl -lpthread
 *
 * $VCAM_ROOT is a folder that stands in for /dev and /sys/class/video4linux:
 *   dev/videoN              plugged in while it exists; its lines say what the camera is (below)
 *   dev/videoN.freeze       while it exists no frames come
 *   dev/v4l/by-id/NAME      symbolic link to ../../videoN
 *   sys/class/video4linux/  whatever a test puts there
 *   log                     written here: one line per event
 *
 * Lines of dev/videoN:
 *   card Fake Webcam
 *   format YUYV 640x480 30,15 /abs/file     raw frames, or JPEGs, back to back; played in a loop
 *   metadata 1        a node without pictures, as every UVC camera has one beside its own
 *   deny 1            opening fails with EACCES
 *   busy 1            another program streams: S_FMT, REQBUFS and STREAMON fail with EBUSY
 *   stall_after N     N frames after each STREAMON, then none
 *   short_every N     every Nth frame is cut to half
 *   error_every N     every Nth buffer carries the ERROR flag
 *   startup_ms N      the first frame comes that late
 *   realtime 1        timestamps of CLOCK_REALTIME, their kind unknown, as old drivers do
 *   lossless 1        never drop: wait for a free buffer, so that content is exact on a busy machine
 *
 * The descriptor handed out is a socket, so that poll and its kin work without being interposed. */
#pragma once
#include <dlfcn.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <sys/stat.h>

#define FDS 4096
#define BUFFERS 32
#define FORMATS 16
#define RATES 8
#define CAMERAS 64
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

struct format { __u32 fourcc, width, height, fps[RATES]; int rates; char file[512]; };

struct config {
  char card[32];
  struct format formats[FORMATS];
  int count, metadata, deny, busy, stall_after, short_every, error_every, startup_ms, realtime, lossless;
};

struct buffer { struct v4l2_buffer v4l2; enum { OURS, QUEUED, DONE } state; };

struct camera {
  int fd, peer, memory, number;
  char path[512];
  struct stat identity;
  struct config config;
  int current, streaming, gone;
  __u32 fps;
  size_t slot;
  struct buffer buffers[BUFFERS];
  int buffer_count, queued[BUFFERS], queued_count, done[BUFFERS], done_count;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  unsigned char *data;
  size_t *offsets;
  int frames;
};

const char *vcam_root(void);
void vcam_say(const char *format, ...);
int vcam_load_config(const char *path, struct config *config);
int vcam_handle(struct camera *c, unsigned request, void *argument);
void vcam_release(struct camera *c);
