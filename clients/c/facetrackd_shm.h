/* Reads facetrackd's shared-memory ring. One header, C99 (or C++11), GCC or Clang, Linux; no dependency.
 *
 *     facetrackd_reader reader;
 *     static facetrackd_sample sample;
 *     if (facetrackd_open(&reader, "default") == 0) {
 *         while (facetrackd_state(&reader, 2.0) == FACETRACKD_ALIVE)
 *             if (facetrackd_latest(&reader, &sample) == 1 && sample.face_count > 0)
 *                 use(sample.faces[0].blendshapes[FACETRACKD_JAW_OPEN]);
 *         facetrackd_close(&reader);
 *     }
 *
 * The layout is described in docs/shm.md. Include this header before any system header, or compile with
 * -D_POSIX_C_SOURCE=200809L (or a wider setting). Functions are not safe to call on one reader from two threads.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef FACETRACKD_SHM_H
#define FACETRACKD_SHM_H

#if !defined(_POSIX_C_SOURCE) && !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the ring is little-endian, and this header does not swap bytes"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define FACETRACKD_VERSION 1u
#define FACETRACKD_MAX_FACES 16u
#define FACETRACKD_BLENDSHAPES 52
#define FACETRACKD_LANDMARKS 478

/* ARKit's coefficients in ARKit's order. Left and right are the subject's. */
typedef enum facetrackd_blendshape {
    FACETRACKD_EYE_BLINK_LEFT, FACETRACKD_EYE_LOOK_DOWN_LEFT, FACETRACKD_EYE_LOOK_IN_LEFT,
    FACETRACKD_EYE_LOOK_OUT_LEFT, FACETRACKD_EYE_LOOK_UP_LEFT, FACETRACKD_EYE_SQUINT_LEFT,
    FACETRACKD_EYE_WIDE_LEFT, FACETRACKD_EYE_BLINK_RIGHT, FACETRACKD_EYE_LOOK_DOWN_RIGHT,
    FACETRACKD_EYE_LOOK_IN_RIGHT, FACETRACKD_EYE_LOOK_OUT_RIGHT, FACETRACKD_EYE_LOOK_UP_RIGHT,
    FACETRACKD_EYE_SQUINT_RIGHT, FACETRACKD_EYE_WIDE_RIGHT, FACETRACKD_JAW_FORWARD, FACETRACKD_JAW_LEFT,
    FACETRACKD_JAW_RIGHT, FACETRACKD_JAW_OPEN, FACETRACKD_MOUTH_CLOSE, FACETRACKD_MOUTH_FUNNEL,
    FACETRACKD_MOUTH_PUCKER, FACETRACKD_MOUTH_LEFT, FACETRACKD_MOUTH_RIGHT, FACETRACKD_MOUTH_SMILE_LEFT,
    FACETRACKD_MOUTH_SMILE_RIGHT, FACETRACKD_MOUTH_FROWN_LEFT, FACETRACKD_MOUTH_FROWN_RIGHT,
    FACETRACKD_MOUTH_DIMPLE_LEFT, FACETRACKD_MOUTH_DIMPLE_RIGHT, FACETRACKD_MOUTH_STRETCH_LEFT,
    FACETRACKD_MOUTH_STRETCH_RIGHT, FACETRACKD_MOUTH_ROLL_LOWER, FACETRACKD_MOUTH_ROLL_UPPER,
    FACETRACKD_MOUTH_SHRUG_LOWER, FACETRACKD_MOUTH_SHRUG_UPPER, FACETRACKD_MOUTH_PRESS_LEFT,
    FACETRACKD_MOUTH_PRESS_RIGHT, FACETRACKD_MOUTH_LOWER_DOWN_LEFT, FACETRACKD_MOUTH_LOWER_DOWN_RIGHT,
    FACETRACKD_MOUTH_UPPER_UP_LEFT, FACETRACKD_MOUTH_UPPER_UP_RIGHT, FACETRACKD_BROW_DOWN_LEFT,
    FACETRACKD_BROW_DOWN_RIGHT, FACETRACKD_BROW_INNER_UP, FACETRACKD_BROW_OUTER_UP_LEFT,
    FACETRACKD_BROW_OUTER_UP_RIGHT, FACETRACKD_CHEEK_PUFF, FACETRACKD_CHEEK_SQUINT_LEFT,
    FACETRACKD_CHEEK_SQUINT_RIGHT, FACETRACKD_NOSE_SNEER_LEFT, FACETRACKD_NOSE_SNEER_RIGHT,
    FACETRACKD_TONGUE_OUT
} facetrackd_blendshape;

/* ARKit's name of a blendshape, such as "jawOpen"; NULL for a number that is none. */
static inline const char *facetrackd_blendshape_name(int blendshape)
{
    static const char *const names[FACETRACKD_BLENDSHAPES] = {
        "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
        "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
        "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose",
        "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight",
        "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft",
        "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
        "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
        "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
        "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
        "noseSneerRight", "tongueOut"
    };
    return blendshape >= 0 && blendshape < FACETRACKD_BLENDSHAPES ? names[blendshape] : NULL;
}

enum { FACETRACKD_TRACKED = 1, FACETRACKD_FADING = 2 };

/* One face. Camera space: millimetres, x right, y down, z forward. Head space: millimetres, origin midway between the
 * eyes' outer corners, x to the subject's left, y up, z out of the face. */
typedef struct facetrackd_face {
    uint32_t id;                                    /* stays with the person */
    uint32_t status;                                /* FACETRACKD_TRACKED or FACETRACKD_FADING */
    float presence;                                 /* 0 to 1 */
    float box[4];                                   /* left, top, right, bottom in image pixels */
    float rotation[9];                              /* camera_from_head, by rows */
    float translation_mm[3];                        /* of the head's origin, in camera space */
    float yaw_rad, pitch_rad, roll_rad;             /* > 0: to the subject's left, down, left ear up */
    float gaze_left[3], gaze_right[3];              /* unit vectors in camera space */
    float blendshapes[FACETRACKD_BLENDSHAPES];      /* 0 to 1, indexed by facetrackd_blendshape */
    float landmarks[FACETRACKD_LANDMARKS][3];       /* x, y in image pixels, z in their scale, nearer is smaller */
    uint8_t reserved[24];
} facetrackd_face;

/* One source frame. About 97 kB: keep it off small stacks. */
typedef struct facetrackd_sample {
    uint64_t sequence;
    uint64_t frame;                                 /* number of the frame in its source */
    uint64_t captured_at_ns;                        /* CLOCK_MONOTONIC */
    uint64_t published_at_ns;                       /* CLOCK_MONOTONIC */
    uint64_t stream_time_ns;                        /* in the source's own clock, from 0 */
    float image_width, image_height;
    uint32_t face_count;                            /* faces below */
    uint32_t face_total;                            /* faces seen; more than face_count where they did not fit */
    uint64_t from_frame;                            /* 1: a frame was measured; 0: the source is silent */
    facetrackd_face faces[FACETRACKD_MAX_FACES];
} facetrackd_sample;

typedef char facetrackd_assert_face_size[sizeof(facetrackd_face) == 6080 ? 1 : -1];
typedef char facetrackd_assert_sample_size[sizeof(facetrackd_sample) == 64 + 16 * 6080 ? 1 : -1];

typedef struct facetrackd_reader {
    const unsigned char *memory;
    size_t size;
    uint32_t slot_size, slot_count, face_capacity;
    uint64_t generation;
    uint64_t next;                                  /* number of the sample after the last one taken */
} facetrackd_reader;

typedef enum facetrackd_writer_state {
    FACETRACKD_ALIVE = 0,
    FACETRACKD_SILENT = 1, /* no heartbeat for longer than asked: dead, stopped or hanging */
    FACETRACKD_CLOSED = 2  /* it said goodbye, or a new writer has taken the name: close and open again */
} facetrackd_writer_state;

/* Lets a reader go. */
static inline void facetrackd_close(facetrackd_reader *reader)
{
    if (reader->memory != NULL)
        munmap((void *)(uintptr_t)reader->memory, reader->size);
    memset(reader, 0, sizeof *reader);
}

static inline uint32_t facetrackd_header_u32(const unsigned char *header, size_t offset)
{
    uint32_t value;
    memcpy(&value, header + offset, sizeof value);
    return value;
}

static inline uint64_t facetrackd_atomic_u64(const unsigned char *at, int is_acquire)
{
    const uint64_t *word = (const uint64_t *)(const void *)at;
    return is_acquire ? __atomic_load_n(word, __ATOMIC_ACQUIRE) : __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Opens a ring's file. Gives 0, or an errno: ENOENT where there is no such ring, EPROTO where the file is no ring that
 * this header can read. On failure the reader is closed. */
static inline int facetrackd_open_path(facetrackd_reader *reader, const char *path)
{
    unsigned char header[256];
    struct stat status;
    void *memory;
    int error, fd;

    memset(reader, 0, sizeof *reader);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (fstat(fd, &status) != 0) {
        error = errno;
        close(fd);
        return error;
    }
    if (pread(fd, header, sizeof header, 0) != (ssize_t)sizeof header || memcmp(header, "FTRKRING", 8) != 0) {
        close(fd);
        return EPROTO;
    }
    reader->slot_size = facetrackd_header_u32(header, 16);
    reader->slot_count = facetrackd_header_u32(header, 20);
    reader->face_capacity = facetrackd_header_u32(header, 28);
    if (facetrackd_header_u32(header, 8) != FACETRACKD_VERSION || facetrackd_header_u32(header, 12) != sizeof header
        || facetrackd_header_u32(header, 24) != sizeof(facetrackd_face) || reader->slot_count < 2
        || reader->slot_count > 1024 || reader->face_capacity < 1 || reader->face_capacity > FACETRACKD_MAX_FACES
        || reader->slot_size != 64 + reader->face_capacity * (uint32_t)sizeof(facetrackd_face)
        || (uint64_t)status.st_size != 256 + (uint64_t)reader->slot_size * reader->slot_count) {
        close(fd);
        return EPROTO;
    }
    reader->size = (size_t)status.st_size;
    memory = mmap(NULL, reader->size, PROT_READ, MAP_SHARED, fd, 0);
    error = memory == MAP_FAILED ? errno : 0;
    close(fd);
    if (error == 0) {
        reader->memory = (const unsigned char *)memory;
        reader->generation = facetrackd_atomic_u64(reader->memory + 48, 0);
    }
    return error;
}

/* Opens the ring called `name`. As facetrackd_open_path, and EINVAL for a name that is too long. */
static inline int facetrackd_open(facetrackd_reader *reader, const char *name)
{
    static const char prefix[] = "/dev/shm/facetrackd.";
    char path[sizeof prefix + 64];
    const size_t length = strlen(name);

    memset(reader, 0, sizeof *reader);
    if (length == 0 || length > 64 || strchr(name, '/') != NULL)
        return EINVAL;
    memcpy(path, prefix, sizeof prefix - 1);
    memcpy(path + sizeof prefix - 1, name, length + 1);
    return facetrackd_open_path(reader, path);
}

static inline void facetrackd_copy_words(unsigned char *to, const unsigned char *from, size_t bytes)
{
    size_t at;
    for (at = 0; at < bytes; at += 8) {
        const uint64_t word = facetrackd_atomic_u64(from + at, 0);
        memcpy(to + at, &word, sizeof word);
    }
}

/* Copies sample `number`. 1: taken whole; 0: it is not there, or it was overwritten meanwhile. */
static inline int facetrackd_read(const facetrackd_reader *reader, uint64_t number, facetrackd_sample *out)
{
    const unsigned char *slot =
        reader->memory + 256 + (size_t)(number % reader->slot_count) * (size_t)reader->slot_size;
    unsigned char *bytes = (unsigned char *)out;
    const uint64_t whole = 2 * number + 2;

    if (facetrackd_atomic_u64(slot, 1) != whole)
        return 0;
    facetrackd_copy_words(bytes + 8, slot + 8, 56);
    out->sequence = whole;
    /* The count may be torn; it is kept within the slot, and the check below throws it away. */
    if (out->face_count > reader->face_capacity)
        out->face_count = reader->face_capacity;
    facetrackd_copy_words(bytes + 64, slot + 64, out->face_count * sizeof(facetrackd_face));
    /* The words above are read before the sequence below. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return facetrackd_atomic_u64(slot, 0) == whole;
}

/* Takes the newest sample. 1: `out` is new; 0: nothing since the last call, and `out` means nothing; never blocks. */
static inline int facetrackd_latest(facetrackd_reader *reader, facetrackd_sample *out)
{
    int attempt;
    for (attempt = 0; attempt < 64; attempt++) {
        const uint64_t published = facetrackd_atomic_u64(reader->memory + 72, 1);
        if (published == 0 || published == reader->next)
            return 0;
        if (facetrackd_read(reader, published - 1, out)) {
            reader->next = published;
            return 1;
        }
    }
    return 0;
}

static inline double facetrackd_now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* What is known of the writer. It beats with every sample, several times a second also where there is no face. */
static inline facetrackd_writer_state facetrackd_state(const facetrackd_reader *reader, double patience_seconds)
{
    const double beat = (double)facetrackd_atomic_u64(reader->memory + 64, 0) * 1e-9;
    if (facetrackd_atomic_u64(reader->memory + 56, 1) != 0)
        return FACETRACKD_CLOSED;
    return facetrackd_now_seconds() - beat > patience_seconds ? FACETRACKD_SILENT : FACETRACKD_ALIVE;
}

#ifdef __cplusplus
}
#endif

#endif
