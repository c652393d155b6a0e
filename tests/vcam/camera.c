/* The camera behind the descriptor: formats, buffers, frames at their rate, faults. See vcam.h. */
#define _GNU_SOURCE
#include "vcam.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Controls keep their values when a program closes the camera, as real ones do. */
static const struct { __u32 id, type; const char *name; __s32 min, max, initial; } CONTROLS[] = {
  {V4L2_CID_BRIGHTNESS, V4L2_CTRL_TYPE_INTEGER, "Brightness", 0, 255, 128},
  {V4L2_CID_CONTRAST, V4L2_CTRL_TYPE_INTEGER, "Contrast", 0, 255, 32},
  {V4L2_CID_AUTO_WHITE_BALANCE, V4L2_CTRL_TYPE_BOOLEAN, "White Balance, Automatic", 0, 1, 1},
  {V4L2_CID_CAMERA_CLASS, V4L2_CTRL_TYPE_CTRL_CLASS, "Camera Controls", 0, 0, 0},
  {V4L2_CID_EXPOSURE_AUTO, V4L2_CTRL_TYPE_MENU, "Auto Exposure", 0, 3, 3},
  {V4L2_CID_EXPOSURE_AUTO_PRIORITY, V4L2_CTRL_TYPE_BOOLEAN, "Exposure, Dynamic Framerate", 0, 1, 1},
};
#define CONTROL_COUNT (sizeof CONTROLS / sizeof *CONTROLS)
static __s32 control_values[CAMERAS][CONTROL_COUNT];

__attribute__((constructor)) static void set_controls(void) {
  for (int camera = 0; camera < CAMERAS; camera++)
    for (size_t i = 0; i < CONTROL_COUNT; i++) control_values[camera][i] = CONTROLS[i].initial;
}

const char *vcam_root(void) {
  const char *path = getenv("VCAM_ROOT");
  return path ? path : "/nonexistent";
}

void vcam_say(const char *format, ...) {
  char line[256], path[600];
  va_list arguments;
  int saved = errno;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  snprintf(path, sizeof path, "%s/log", vcam_root());
  int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd >= 0) {
    if (write(fd, line, length) != length) abort();
    REAL(close)(fd);
  }
  errno = saved;
}

static unsigned char *read_file(const char *path, size_t *length) {
  int fd = REAL(open)(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  off_t size = lseek(fd, 0, SEEK_END);
  unsigned char *bytes = calloc(1, size + 1);
  ssize_t got = pread(fd, bytes, size, 0);
  REAL(close)(fd);
  *length = got > 0 ? got : 0;
  return bytes;
}

static int parse_format(struct format *f, const char *value) {
  char fourcc[8], rates[128], *rest;
  if (sscanf(value, "%4s %ux%u %127s %511s", fourcc, &f->width, &f->height, rates, f->file) != 5) return 0;
  f->fourcc = v4l2_fourcc(fourcc[0], fourcc[1], fourcc[2], fourcc[3]);
  for (char *word = strtok_r(rates, ",", &rest); word && f->rates < RATES; word = strtok_r(NULL, ",", &rest))
    f->fps[f->rates++] = atoi(word);
  return f->rates > 0;
}

int vcam_load_config(const char *path, struct config *c) {
  size_t length;
  char *text = (char *)read_file(path, &length), *rest;
  if (!text) return -1;
  memset(c, 0, sizeof *c);
  strcpy(c->card, "Fake Webcam");
  const struct { const char *key; int *value; } numbers[] = {
    {"metadata", &c->metadata}, {"deny", &c->deny}, {"busy", &c->busy}, {"stall_after", &c->stall_after},
    {"short_every", &c->short_every}, {"error_every", &c->error_every}, {"startup_ms", &c->startup_ms},
    {"realtime", &c->realtime}, {"lossless", &c->lossless},
  };
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    char key[32], value[800] = "";
    if (sscanf(line, "%31s %799[^\n]", key, value) < 1) continue;
    if (!strcmp(key, "card")) snprintf(c->card, sizeof c->card, "%.31s", value);
    if (!strcmp(key, "format") && c->count < FORMATS) c->count += parse_format(&c->formats[c->count], value);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
      if (!strcmp(key, numbers[i].key)) *numbers[i].value = atoi(value);
  }
  free(text);
  return 0;
}

/* The very file that was there at opening: not another camera at the same place. */
static int is_plugged(const struct camera *c) {
  struct stat now;
  return !REAL(stat)(c->path, &now) && now.st_ino == c->identity.st_ino
         && now.st_ctim.tv_sec == c->identity.st_ctim.tv_sec && now.st_ctim.tv_nsec == c->identity.st_ctim.tv_nsec;
}

/* Whoever notices first, the thread that makes frames or a request, says so. */
static void lose(struct camera *c) {
  if (c->gone) return;
  c->gone = 1;
  vcam_say("unplugged");
  shutdown(c->peer, SHUT_RDWR);
}

static int is_frozen(const struct camera *c) {
  char path[600];
  struct stat s;
  snprintf(path, sizeof path, "%s.freeze", c->path);
  return !REAL(stat)(path, &s);
}

static size_t image_size(const struct format *f) {
  size_t pixels = (size_t)f->width * f->height;
  switch (f->fourcc) {
    case V4L2_PIX_FMT_NV12: case V4L2_PIX_FMT_YUV420: return pixels * 3 / 2;
    case V4L2_PIX_FMT_GREY: case V4L2_PIX_FMT_SRGGB8: return pixels;
    default: return pixels * 2;
  }
}

/* The end of the JPEG that starts at p, by walking its markers. */
static size_t jpeg_end(const unsigned char *d, size_t p, size_t n) {
  for (size_t q = p + 2;;) {
    while (q + 1 < n && !(d[q] == 0xff && d[q + 1] != 0 && d[q + 1] != 0xff)) q++;
    if (q + 1 >= n) return n;
    unsigned char marker = d[q + 1];
    q += 2;
    if (marker == 0xd9) return q;
    if (marker >= 0xd0 && marker <= 0xd7) continue;
    if (q + 2 > n) return n;
    q += (d[q] << 8) | d[q + 1];
  }
}

static int load_frames(struct camera *c) {
  const struct format *f = &c->config.formats[c->current];
  size_t length, at = 0, capacity = 0;
  free(c->data);
  free(c->offsets);
  c->offsets = NULL;
  c->frames = 0;
  if (!(c->data = read_file(f->file, &length))) return -1;
  while (at < length) {
    size_t end = f->fourcc == V4L2_PIX_FMT_MJPEG ? jpeg_end(c->data, at, length) : at + image_size(f);
    if (end > length) break;
    if ((size_t)c->frames + 2 > capacity) {
      capacity = capacity * 2 + 64;
      c->offsets = realloc(c->offsets, capacity * sizeof *c->offsets);
    }
    c->offsets[c->frames++] = at;
    c->offsets[c->frames] = at = end;
  }
  return c->frames ? 0 : -1;
}

static int is_nth(__u32 sequence, int every) { return every && sequence % every == (__u32)every - 1; }

static void deliver(struct camera *c, __u32 sequence, int frame) {
  int index = c->queued[0];
  struct v4l2_buffer *b = &c->buffers[index].v4l2;
  struct timespec now, stamp;
  memmove(c->queued, c->queued + 1, --c->queued_count * sizeof *c->queued);
  size_t start = c->offsets[frame], size = c->offsets[frame + 1] - start;
  if (size > c->slot) size = c->slot;
  if (is_nth(sequence, c->config.short_every)) size /= 2;
  if (pwrite(c->memory, c->data + start, size, (off_t)(index * c->slot)) != (ssize_t)size) abort();
  clock_gettime(CLOCK_MONOTONIC, &now);
  clock_gettime(CLOCK_REALTIME, &stamp);
  if (!c->config.realtime) stamp = now;
  b->bytesused = size;
  b->sequence = sequence;
  b->field = V4L2_FIELD_NONE;
  b->timestamp.tv_sec = stamp.tv_sec;
  b->timestamp.tv_usec = stamp.tv_nsec / 1000;
  b->flags &= ~V4L2_BUF_FLAG_ERROR;
  if (is_nth(sequence, c->config.error_every)) b->flags |= V4L2_BUF_FLAG_ERROR;
  vcam_say("frame %u %d %lld", sequence, frame, now.tv_sec * 1000000000LL + now.tv_nsec / 1000 * 1000);
  c->buffers[index].state = DONE;
  c->done[c->done_count++] = index;
  if (send(c->peer, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) vcam_say("socket full");
}

static void *produce(void *argument) {
  struct camera *c = argument;
  struct timespec t;
  __u32 sequence = 0;
  long step = 1000000000L / c->fps, late = (long)c->config.startup_ms * 1000000L;
  clock_gettime(CLOCK_MONOTONIC, &t);
  pthread_mutex_lock(&c->lock);
  while (c->streaming && !c->gone) {
    t.tv_nsec += step + late;
    late = 0;
    t.tv_sec += t.tv_nsec / 1000000000L;
    t.tv_nsec %= 1000000000L;
    while (c->streaming && pthread_cond_timedwait(&c->wake, &c->lock, &t) != ETIMEDOUT) {}
    if (!c->streaming) break;
    if (!is_plugged(c)) {
      lose(c);
      break;
    }
    if ((c->config.stall_after && sequence >= (__u32)c->config.stall_after) || is_frozen(c)) continue;
    if (c->queued_count) deliver(c, sequence, sequence % c->frames);
    else if (c->config.lossless) continue;
    else vcam_say("dropped %u", sequence); /* no buffer is free: the number advances all the same, as in uvcvideo */
    sequence++;
  }
  pthread_mutex_unlock(&c->lock);
  return NULL;
}

/* With the lock held. */
static void stop(struct camera *c) {
  char byte;
  if (c->streaming) {
    c->streaming = 0;
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_mutex_lock(&c->lock);
  }
  while (recv(c->fd, &byte, 1, MSG_DONTWAIT) > 0) {}
  c->queued_count = c->done_count = 0;
  for (int i = 0; i < c->buffer_count; i++) c->buffers[i].state = OURS;
}

static void drop_buffers(struct camera *c) {
  c->buffer_count = 0;
  if (c->memory >= 0) REAL(close)(c->memory);
  c->memory = -1;
}

static int request_buffers(struct camera *c, struct v4l2_requestbuffers *request) {
  if (request->memory != V4L2_MEMORY_MMAP) return EINVAL;
  if (c->config.busy) return EBUSY;
  stop(c);
  drop_buffers(c);
  if (!request->count) return 0;
  if (request->count > BUFFERS) request->count = BUFFERS;
  size_t size = image_size(&c->config.formats[c->current]);
  c->slot = (size + 4095) & ~4095UL;
  c->buffer_count = request->count;
  c->memory = memfd_create("vcam", MFD_CLOEXEC);
  if (c->memory < 0 || ftruncate(c->memory, (off_t)(c->slot * c->buffer_count))) return ENOMEM;
  for (int i = 0; i < c->buffer_count; i++) {
    struct v4l2_buffer *b = &c->buffers[i].v4l2;
    memset(&c->buffers[i], 0, sizeof c->buffers[i]);
    b->index = i;
    b->type = request->type;
    b->memory = request->memory;
    b->length = size;
    b->m.offset = i * c->slot;
    b->flags = c->config.realtime ? V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN : V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  }
  return 0;
}

static int queue_or_query(struct camera *c, struct v4l2_buffer *b, int is_queue) {
  if ((int)b->index >= c->buffer_count) return EINVAL;
  struct buffer *ours = &c->buffers[b->index];
  if (is_queue) {
    if (ours->state != OURS) return EINVAL;
    ours->state = QUEUED;
    c->queued[c->queued_count++] = b->index;
  }
  *b = ours->v4l2;
  return 0;
}

static int dequeue(struct camera *c, struct v4l2_buffer *b) {
  char byte;
  if (!c->streaming) return EINVAL;
  ssize_t got = recv(c->fd, &byte, 1, MSG_DONTWAIT);
  if (got == 0 || c->gone) return ENODEV;
  if (got < 0) return errno;
  int index = c->done[0];
  memmove(c->done, c->done + 1, --c->done_count * sizeof *c->done);
  c->buffers[index].state = OURS;
  *b = c->buffers[index].v4l2;
  return 0;
}

static int start(struct camera *c) {
  if (!c->buffer_count) return EINVAL;
  if (c->config.busy) return EBUSY;
  if (c->streaming) return 0;
  if (load_frames(c)) return EIO;
  c->streaming = 1;
  if (pthread_create(&c->thread, NULL, produce, c)) return ENOMEM;
  vcam_say("streamon %u", c->fps);
  return 0;
}

static int enum_format(const struct config *k, struct v4l2_fmtdesc *a) {
  __u32 seen[FORMATS], count = 0;
  for (int i = 0; i < k->count; i++) {
    int known = 0;
    for (__u32 j = 0; j < count; j++) known |= seen[j] == k->formats[i].fourcc;
    if (!known) seen[count++] = k->formats[i].fourcc;
  }
  if (a->index >= count) return EINVAL;
  a->pixelformat = seen[a->index];
  return 0;
}

static int enum_size(const struct config *k, struct v4l2_frmsizeenum *a) {
  __u32 n = 0;
  for (int i = 0; i < k->count; i++)
    if (k->formats[i].fourcc == a->pixel_format && n++ == a->index) {
      a->type = V4L2_FRMSIZE_TYPE_DISCRETE;
      a->discrete.width = k->formats[i].width;
      a->discrete.height = k->formats[i].height;
      return 0;
    }
  return EINVAL;
}

static int enum_interval(const struct config *k, struct v4l2_frmivalenum *a) {
  for (int i = 0; i < k->count; i++) {
    const struct format *f = &k->formats[i];
    if (f->fourcc != a->pixel_format || f->width != a->width || f->height != a->height) continue;
    if ((int)a->index >= f->rates) return EINVAL;
    a->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    a->discrete.numerator = 1;
    a->discrete.denominator = f->fps[a->index];
    return 0;
  }
  return EINVAL;
}

static int set_format(struct camera *c, struct v4l2_pix_format *p, int is_set) {
  const struct config *k = &c->config;
  if (is_set && (k->busy || c->buffer_count)) return EBUSY;
  if (is_set) { /* the nearest, as drivers do */
    long best = -1;
    for (int i = 0; i < k->count; i++) {
      const struct format *f = &k->formats[i];
      long distance = labs((long)f->width - p->width) + labs((long)f->height - p->height)
                      + (f->fourcc == p->pixelformat ? 0 : 1000000);
      if (best < 0 || distance < best) { best = distance; c->current = i; }
    }
    c->fps = k->formats[c->current].fps[0];
  }
  const struct format *f = &k->formats[c->current];
  int is_jpeg = f->fourcc == V4L2_PIX_FMT_MJPEG;
  memset(p, 0, sizeof *p);
  p->width = f->width;
  p->height = f->height;
  p->pixelformat = f->fourcc;
  p->field = V4L2_FIELD_NONE;
  p->sizeimage = image_size(f);
  p->bytesperline = is_jpeg ? 0 : f->fourcc == V4L2_PIX_FMT_NV12 ? f->width : image_size(f) / f->height;
  p->colorspace = is_jpeg ? V4L2_COLORSPACE_JPEG : V4L2_COLORSPACE_SRGB;
  if (is_set) vcam_say("format %.4s %ux%u", (const char *)&f->fourcc, f->width, f->height);
  return 0;
}

static int set_rate(struct camera *c, struct v4l2_streamparm *a, int is_set) {
  const struct format *f = &c->config.formats[c->current];
  struct v4l2_fract *t = &a->parm.capture.timeperframe;
  if (is_set && (c->config.busy || c->streaming)) return EBUSY;
  if (is_set && t->numerator) {
    long wanted = t->denominator / t->numerator;
    for (int i = 0; i < f->rates; i++)
      if (labs((long)f->fps[i] - wanted) < labs((long)c->fps - wanted)) c->fps = f->fps[i];
  }
  t->numerator = 1;
  t->denominator = c->fps;
  return 0;
}

static int query_control(struct v4l2_queryctrl *a) {
  int next = !!(a->id & V4L2_CTRL_FLAG_NEXT_CTRL);
  __u32 id = a->id & 0x0fffffff;
  for (size_t i = 0; i < CONTROL_COUNT; i++)
    if (next ? CONTROLS[i].id > id : CONTROLS[i].id == id) {
      memset(a, 0, sizeof *a);
      a->id = CONTROLS[i].id;
      a->type = CONTROLS[i].type;
      strcpy((char *)a->name, CONTROLS[i].name);
      a->minimum = CONTROLS[i].min;
      a->maximum = CONTROLS[i].max;
      a->step = 1;
      a->default_value = CONTROLS[i].initial;
      return 0;
    }
  return EINVAL;
}

static int control(const struct camera *c, struct v4l2_control *a, int is_set) {
  __s32 *values = control_values[c->number];
  for (size_t i = 0; i < CONTROL_COUNT; i++) {
    if (CONTROLS[i].id != a->id || CONTROLS[i].type == V4L2_CTRL_TYPE_CTRL_CLASS) continue;
    if (is_set && (a->value < CONTROLS[i].min || a->value > CONTROLS[i].max)) return ERANGE;
    if (is_set) vcam_say("control %s=%d", CONTROLS[i].name, values[i] = a->value);
    a->value = values[i];
    return 0;
  }
  return EINVAL;
}

static void capabilities(const struct config *k, struct v4l2_capability *a) {
  memset(a, 0, sizeof *a);
  strcpy((char *)a->driver, "vcam");
  strcpy((char *)a->card, k->card);
  strcpy((char *)a->bus_info, "platform:vcam");
  a->device_caps = (k->metadata ? V4L2_CAP_META_CAPTURE : V4L2_CAP_VIDEO_CAPTURE) | V4L2_CAP_STREAMING;
  a->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
}

int vcam_handle(struct camera *c, unsigned request, void *a) {
  if (c->gone || !is_plugged(c)) {
    lose(c);
    return ENODEV;
  }
  if (request == VIDIOC_QUERYCAP) return capabilities(&c->config, a), 0;
  if (c->config.metadata || !c->config.count) return ENOTTY;
  switch (request) {
    case VIDIOC_ENUM_FMT: return enum_format(&c->config, a);
    case VIDIOC_ENUM_FRAMESIZES: return enum_size(&c->config, a);
    case VIDIOC_ENUM_FRAMEINTERVALS: return enum_interval(&c->config, a);
    case VIDIOC_G_FMT: return set_format(c, &((struct v4l2_format *)a)->fmt.pix, 0);
    case VIDIOC_S_FMT: return set_format(c, &((struct v4l2_format *)a)->fmt.pix, 1);
    case VIDIOC_G_PARM: return set_rate(c, a, 0);
    case VIDIOC_S_PARM: return set_rate(c, a, 1);
    case VIDIOC_REQBUFS: return request_buffers(c, a);
    case VIDIOC_QUERYBUF: return queue_or_query(c, a, 0);
    case VIDIOC_QBUF: return queue_or_query(c, a, 1);
    case VIDIOC_DQBUF: return dequeue(c, a);
    case VIDIOC_STREAMON: return start(c);
    case VIDIOC_STREAMOFF: stop(c); vcam_say("streamoff"); return 0;
    case VIDIOC_QUERYCTRL: return query_control(a);
    case VIDIOC_G_CTRL: return control(c, a, 0);
    case VIDIOC_S_CTRL: return control(c, a, 1);
    default: return ENOTTY;
  }
}

/* Ends the stream and frees everything but the descriptor that the program holds. */
void vcam_release(struct camera *c) {
  pthread_mutex_lock(&c->lock);
  stop(c);
  drop_buffers(c);
  pthread_mutex_unlock(&c->lock);
  REAL(close)(c->peer);
  free(c->data);
  free(c->offsets);
  free(c);
}
