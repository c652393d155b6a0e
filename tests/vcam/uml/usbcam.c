/* A USB webcam (UVC 1.1, bulk) made of nothing: speaks the usbip protocol to the kernel's vhci-hcd over a socket pair,
 * so that the real uvcvideo driver binds to it. Runs inside the User-Mode Linux guest, as root.
 *
 *   cc -O2 -Wall -Wextra -Werror -static -o usbcam usbcam.c
 *   usbcam CONFIG PORT LOG
 *
 * CONFIG has lines `card NAME` and `format YUYV|MJPG 640x480 30,15 FILE` (frames back to back). End the process to
 * unplug, start it to plug in, SIGUSR1 to freeze and thaw. LOG gets `frame NUMBER NANOSECONDS` (CLOCK_MONOTONIC) for the
 * first byte of each frame. Field names follow the USB 2.0, UVC 1.1 and usbip specifications. */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;

enum { PAYLOAD = 16384, PAYLOAD_HEADER = 12, FORMATS = 16, RATES = 8, REQUESTS = 256, PROBE = 34 };
enum { SUBMIT = 1, UNLINK = 2, SUBMITTED = 3, UNLINKED = 4 };

struct format {
  int is_jpeg, rates, format_index, frame_index, frames;
  u32 width, height, fps[RATES];
  u8 *data;
  size_t *offsets;
};

static struct format formats[FORMATS];
static int format_count;
static char card[64] = "Fake USB Webcam";
static const char *port; /* of the hub; also the serial number */
static u8 descriptor[4096];
static int descriptor_length;
static u8 probe[PROBE], commit[PROBE];
static u16 controls[2] = {128, 32};
static volatile sig_atomic_t is_frozen, has_ended;
static int host; /* our end of the socket pair */
static FILE *frame_log;

static void on_signal(int signal) {
  if (signal == SIGUSR1) is_frozen = !is_frozen;
  else has_ended = 1;
}

static void put(const u8 *bytes, int count) {
  memcpy(descriptor + descriptor_length, bytes, count);
  descriptor_length += count;
}
#define PUT(...) put((const u8[]){__VA_ARGS__}, sizeof(const u8[]){__VA_ARGS__})
#define LE16(v) (u8)(v), (u8)((v) >> 8)
#define LE32(v) LE16(v), (u8)((v) >> 16), (u8)((v) >> 24)

static u32 get32(const u8 *p) { return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24; }
static void set32(u8 *p, u32 v) { memcpy(p, (const u8[]){LE32(v)}, 4); }
static u32 interval(u32 fps) { return 10000000 / fps; } /* in 100 ns, as UVC counts */

static void put_frame(const struct format *f) {
  u32 bits = f->width * f->height * 16;
  PUT(26 + 4 * f->rates, 0x24, f->is_jpeg ? 7 : 5, f->frame_index, 0, LE16(f->width), LE16(f->height), LE32(bits),
      LE32(bits * f->fps[0]), LE32(bits / 8), LE32(interval(f->fps[0])), f->rates);
  for (int i = 0; i < f->rates; i++) PUT(LE32(interval(f->fps[i])));
}

static void put_formats(int is_jpeg, int count, int index) {
  if (is_jpeg) PUT(11, 0x24, 6, index, count, 1, 1, 0, 0, 0, 0);
  else /* the GUID of YUY2 */
    PUT(27, 0x24, 4, index, count, 'Y', 'U', 'Y', '2', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71, 16, 1, 0,
        0, 0, 0);
  int frame = 0;
  for (int i = 0; i < format_count; i++) {
    if (formats[i].is_jpeg != is_jpeg) continue;
    formats[i].format_index = index;
    formats[i].frame_index = ++frame;
    put_frame(&formats[i]);
  }
  PUT(6, 0x24, 0x0d, 1, 1, 4); /* colours: BT.709 primaries and transfer, BT.601 matrix */
}

static void build_descriptor(void) {
  int counts[2] = {0, 0}, index = 0;
  for (int i = 0; i < format_count; i++) counts[formats[i].is_jpeg]++;
  int kinds = (counts[0] > 0) + (counts[1] > 0);
  PUT(9, 2, LE16(0), 2, 1, 0, 0x80, 250);                                  /* configuration; length below */
  PUT(8, 11, 0, 2, 0x0e, 3, 0, 0);                                         /* both interfaces are one function */
  PUT(9, 4, 0, 0, 0, 0x0e, 1, 0, 0);                                       /* VideoControl */
  PUT(13, 0x24, 1, LE16(0x0110), LE16(13 + 18 + 12 + 9), LE32(48000000), 1, 1);
  PUT(18, 0x24, 2, 1, LE16(0x0201), 0, 0, LE16(0), LE16(0), LE16(0), 3, 0, 0, 0); /* camera terminal */
  PUT(12, 0x24, 5, 2, 1, LE16(0), 2, 3, 0, 0, 0);                          /* unit with brightness and contrast */
  PUT(9, 0x24, 3, 3, LE16(0x0101), 0, 2, 0);                               /* output terminal */
  PUT(9, 4, 1, 0, 1, 0x0e, 2, 0, 0);                                       /* VideoStreaming */
  int header = descriptor_length;
  PUT(13 + kinds, 0x24, 1, kinds, LE16(0), 0x81, 0, 3, 0, 0, 0, 1);
  for (int i = 0; i < kinds; i++) PUT(0);
  for (int is_jpeg = 1; is_jpeg >= 0; is_jpeg--)
    if (counts[is_jpeg]) put_formats(is_jpeg, counts[is_jpeg], ++index);
  memcpy(descriptor + header + 4, (const u8[]){LE16(descriptor_length - header)}, 2);
  PUT(7, 5, 0x81, 2, LE16(512), 0);                                        /* one bulk endpoint */
  memcpy(descriptor + 2, (const u8[]){LE16(descriptor_length)}, 2);
}

static struct format *chosen(const u8 *p) {
  for (int i = 0; i < format_count; i++)
    if (formats[i].format_index == p[2] && formats[i].frame_index == p[3]) return &formats[i];
  return &formats[0];
}

/* Makes a probe one that the camera can do. */
static void settle(u8 *p) {
  struct format *f = chosen(p);
  u32 wanted = get32(p + 4), best = interval(f->fps[0]);
  for (int i = 0; i < f->rates; i++) {
    u32 offered = interval(f->fps[i]);
    if (labs((long)offered - wanted) < labs((long)best - wanted)) best = offered;
  }
  p[2] = f->format_index;
  p[3] = f->frame_index;
  set32(p + 4, best);
  set32(p + 18, f->width * f->height * 2);
  set32(p + 22, PAYLOAD);
  set32(p + 26, 48000000);
}

static size_t jpeg_end(const u8 *d, size_t p, size_t n) {
  for (size_t q = p + 2;;) {
    while (q + 1 < n && !(d[q] == 0xff && d[q + 1] && d[q + 1] != 0xff)) q++;
    if (q + 1 >= n) return n;
    u8 marker = d[q + 1];
    q += 2;
    if (marker == 0xd9) return q;
    if (marker >= 0xd0 && marker <= 0xd7) continue;
    if (q + 2 > n) return n;
    q += d[q] << 8 | d[q + 1];
  }
}

static void load(struct format *f, const char *path) {
  struct stat s;
  int fd = open(path, O_RDONLY), capacity = 0;
  if (fd < 0 || fstat(fd, &s)) exit((perror(path), 1));
  f->data = malloc(s.st_size);
  if (read(fd, f->data, s.st_size) != s.st_size) exit((perror(path), 1));
  close(fd);
  for (size_t at = 0, size = s.st_size; at < size;) {
    size_t end = f->is_jpeg ? jpeg_end(f->data, at, size) : at + f->width * f->height * 2;
    if (end > size) break;
    if (f->frames + 2 > capacity) f->offsets = realloc(f->offsets, (capacity = capacity * 2 + 64) * sizeof(size_t));
    f->offsets[f->frames++] = at;
    f->offsets[f->frames] = at = end;
  }
  if (!f->frames) exit((fprintf(stderr, "no frames in %s\n", path), 1));
}

static void read_config(const char *path) {
  char line[1024], fourcc[8], rates[128], file[512];
  FILE *config = fopen(path, "r");
  if (!config) exit((perror(path), 1));
  while (fgets(line, sizeof line, config)) {
    struct format *f = &formats[format_count];
    sscanf(line, "card %63[^\n]", card);
    if (format_count == FORMATS
        || sscanf(line, "format %4s %ux%u %127s %511s", fourcc, &f->width, &f->height, rates, file) != 5) continue;
    f->is_jpeg = !strcmp(fourcc, "MJPG");
    for (char *word = strtok(rates, ","); word && f->rates < RATES; word = strtok(NULL, ","))
      f->fps[f->rates++] = atoi(word);
    load(f, file);
    format_count++;
  }
  fclose(config);
  if (!format_count) exit((fprintf(stderr, "%s offers no format\n", path), 1));
}

static int read_all(void *into, size_t count) {
  for (u8 *p = into; count;) {
    ssize_t got = read(host, p, count);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return -1;
    p += got;
    count -= got;
  }
  return 0;
}

/* Answers a request; length is what was transferred, and data follows where it went to the host. */
static int reply(u32 command, u32 number, int status, const void *data, u32 length, int is_in) {
  u8 message[48 + PAYLOAD];
  u32 header[12] = {htobe32(command), htobe32(number), 0, 0, 0, htobe32(status)};
  if (command == SUBMITTED) header[6] = htobe32(length);
  memcpy(message, header, 48);
  if (is_in && length) memcpy(message + 48, data, length);
  u8 *p = message;
  for (size_t left = 48 + (is_in ? length : 0); left;) {
    ssize_t put = write(host, p, left);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return -1;
    p += put;
    left -= put;
  }
  return 0;
}

static int string_descriptor(int index, u8 *out) {
  const char *strings[] = {"", "facetrackd tests", card, port};
  if (!index) return memcpy(out, "\4\3\x09\4", 4), 4; /* US English */
  if (index > 3) return -1;
  int length = strlen(strings[index]);
  out[0] = 2 + 2 * length;
  out[1] = 3;
  for (int i = 0; i < length; i++) memcpy(out + 2 + 2 * i, (const u8[]){LE16(strings[index][i])}, 2);
  return out[0];
}

static int standard_request(int request, int value, u8 *data) {
  static const u8 device[18] = {18, 1, 0, 2, 0xef, 2, 1, 64, 0x09, 0x12, 1, 0, 0, 1, 1, 2, 3, 1};
  switch (request) {
    case 6: /* GET_DESCRIPTOR */
      if (value >> 8 == 1) return memcpy(data, device, sizeof device), (int)sizeof device;
      if (value >> 8 == 2) return memcpy(data, descriptor, descriptor_length), descriptor_length;
      return value >> 8 == 3 ? string_descriptor(value & 255, data) : -1;
    case 0: data[0] = data[1] = 0; return 2; /* GET_STATUS */
    case 8: data[0] = 1; return 1;           /* GET_CONFIGURATION */
    case 10: data[0] = 0; return 1;          /* GET_INTERFACE */
    case 1: case 3: case 9: case 11: return 0;
    default: return -1;
  }
}

static int stream_request(int request, u8 *p, u8 *data, int length) {
  u8 first[PROBE] = {0, 0, 1, 1};
  switch (request) {
    case 0x01: memcpy(p, data, length < PROBE ? length : PROBE); settle(p); return 0;  /* SET_CUR */
    case 0x81: case 0x82: case 0x83: memcpy(data, p, PROBE); return PROBE;             /* GET_CUR, MIN, MAX */
    case 0x87: settle(first); memcpy(data, first, PROBE); return PROBE;                /* GET_DEF */
    case 0x85: data[0] = PROBE; data[1] = 0; return 2;                                 /* GET_LEN */
    case 0x86: data[0] = 3; return 1;                                                  /* GET_INFO */
    default: return -1;
  }
}

static int control_request(int request, u16 *value, u16 initial, u8 *data) {
  u16 answer;
  switch (request) {
    case 0x01: memcpy(value, data, 2); return 0;
    case 0x81: answer = *value; break;
    case 0x82: answer = 0; break;
    case 0x83: answer = 255; break;
    case 0x84: answer = 1; break; /* GET_RES */
    case 0x85: answer = 2; break;
    case 0x86: data[0] = 3; return 1;
    case 0x87: answer = initial; break;
    default: return -1;
  }
  memcpy(data, &answer, 2);
  return 2;
}

/* The length of the answer, or -1 to stall. */
static int control(const u8 *setup, u8 *data, int length) {
  int type = setup[0] & 0x60, request = setup[1], value = setup[2] | setup[3] << 8;
  int interface = setup[4], entity = setup[5], selector = value >> 8;
  if (type == 0) return standard_request(request, value, data);
  if (type != 0x20) return -1;
  if (interface == 1 && (selector == 1 || selector == 2))
    return stream_request(request, selector == 1 ? probe : commit, data, length);
  if (interface == 0 && entity == 2 && (selector == 2 || selector == 3))
    return control_request(request, &controls[selector - 2], selector == 2 ? 128 : 32, data);
  if (interface == 0 && entity == 0 && selector == 2) return data[0] = 0, 1; /* no error */
  return -1;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The stream: requests that wait for pixels, and the frame that fills them. */
static struct { u32 number, length; } waiting[REQUESTS];
static int waiting_count, is_started, is_in_frame, frame_id;
static double next_frame_at, last_request_at;
static size_t position;
static u32 frame;

static void begin_frame(double time, double step) {
  is_in_frame = 1;
  position = 0;
  next_frame_at += step;
  if (next_frame_at < time - 0.5) next_frame_at = time + step;
  fprintf(frame_log, "frame %u %.0f\n", frame, now() * 1e9);
  fflush(frame_log);
}

/* Sends what fits; milliseconds until there is more to do, or -1 where the host is gone. */
static int stream(void) {
  if (!is_started || !waiting_count) return 1000;
  const struct format *f = chosen(commit);
  double time = now(), step = get32(commit + 4) * 1e-7;
  if (!is_in_frame && !is_frozen && time >= next_frame_at) begin_frame(time, step);
  while (is_in_frame && waiting_count) {
    size_t start = f->offsets[frame % f->frames], length = f->offsets[frame % f->frames + 1] - start;
    size_t room = (waiting[0].length < PAYLOAD ? waiting[0].length : PAYLOAD) - PAYLOAD_HEADER;
    size_t count = length - position < room ? length - position : room;
    int is_last = position + count == length;
    u8 payload[PAYLOAD] = {PAYLOAD_HEADER, 0x80 | frame_id | (is_last ? 2 : 0)};
    memcpy(payload + PAYLOAD_HEADER, f->data + start + position, count);
    if (reply(SUBMITTED, waiting[0].number, 0, payload, count + PAYLOAD_HEADER, 1)) return -1;
    memmove(waiting, waiting + 1, --waiting_count * sizeof *waiting);
    position += count;
    if (is_last) {
      is_in_frame = 0;
      frame_id ^= 1;
      frame++;
    }
    struct pollfd poll_host = {host, POLLIN, 0};
    if (poll(&poll_host, 1, 0) > 0) break;
  }
  if (is_in_frame) return waiting_count ? 0 : 1000;
  double left = (next_frame_at - now()) * 1e3;
  return is_frozen ? 50 : left < 0 ? 0 : (int)left + 1;
}

static int on_submit(const u32 *header) {
  static u8 data[65536];
  const u8 *setup = (const u8 *)&header[10];
  u32 number = be32toh(header[1]), is_in = be32toh(header[3]), endpoint = be32toh(header[4]), length = be32toh(header[6]);
  if (!is_in && length && (length > sizeof data || read_all(data, length))) return -1;
  if (endpoint == 0) {
    int count = control(setup, data, length);
    int is_set_interface = setup[1] == 0x0b;
    int is_commit = setup[1] == 1 && (setup[0] & 0x60) == 0x20 && setup[3] == 2;
    if (is_set_interface || is_commit) is_in_frame = frame = 0; /* the clip starts over */
    if (count < 0) return reply(SUBMITTED, number, -EPIPE, NULL, 0, 0);
    return reply(SUBMITTED, number, 0, data, is_in && (u32)count < length ? (u32)count : length, is_in);
  }
  if (endpoint != 1 || waiting_count == REQUESTS) return reply(SUBMITTED, number, -EPIPE, NULL, 0, 0);
  double time = now();
  if (!is_started || time - last_request_at > 1) {
    next_frame_at = time;
    is_in_frame = 0;
  }
  is_started = 1;
  last_request_at = time;
  waiting[waiting_count].number = number;
  waiting[waiting_count++].length = length;
  return 0;
}

static int on_unlink(const u32 *header) {
  u32 victim = be32toh(header[5]);
  int was_waiting = 0;
  for (int i = 0; i < waiting_count && !was_waiting; i++) {
    if (waiting[i].number != victim) continue;
    memmove(waiting + i, waiting + i + 1, (--waiting_count - i) * sizeof *waiting);
    was_waiting = 1;
    is_in_frame = 0;
  }
  return reply(UNLINKED, be32toh(header[1]), was_waiting ? -ECONNRESET : 0, NULL, 0, 0);
}

static void tell_vhci(const char *what, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "/sys/devices/platform/vhci_hcd.0/%s", what);
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) perror(path);
  if (fd >= 0) close(fd);
}

int main(int count, char **arguments) {
  int ends[2];
  char text[64];
  if (count != 4 || !(frame_log = fopen(arguments[3], "a"))) return 2;
  port = arguments[2];
  read_config(arguments[1]);
  build_descriptor();
  probe[2] = probe[3] = 1;
  settle(probe);
  memcpy(commit, probe, PROBE);
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return 1;
  host = ends[0];
  snprintf(text, sizeof text, "%s %d %d 3", port, ends[1], 0x10002 + atoi(port)); /* 3: high speed */
  tell_vhci("attach", text);
  close(ends[1]);
  while (!has_ended) {
    u32 header[12];
    int patience = stream();
    struct pollfd poll_host = {host, POLLIN, 0};
    if (patience < 0) break;
    if (poll(&poll_host, 1, patience) <= 0) continue;
    if (read_all(header, 48)) break;
    if (be32toh(header[0]) == SUBMIT && on_submit(header)) break;
    if (be32toh(header[0]) == UNLINK && on_unlink(header)) break;
  }
  tell_vhci("detach", port);
  return 0;
}
