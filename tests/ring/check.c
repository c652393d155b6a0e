/* Reads a ring whose writer is killed and restarted again and again, and checks every word of every sample it takes:
 * the writer fills word k of a face of sample n with (7 n + k) mod 65521. Ends when the writer says goodbye.
 * Prints `silent GENERATION` for each writer found dead, and at the end `accepted N generations N`. */
#include "facetrackd_shm.h"

#include <inttypes.h>
#include <stdio.h>

static facetrackd_sample sample;

static int is_whole(void)
{
    uint32_t i, k;
    if (sample.face_count != 1 + sample.frame % 3 || sample.sequence != 2 * sample.frame + 2)
        return 0;
    for (i = 0; i < sample.face_count; i++) {
        const facetrackd_face *face = &sample.faces[i];
        if (face->id != (uint32_t)sample.frame + i || face->status != FACETRACKD_TRACKED)
            return 0;
        for (k = 2; k < 1514; k++) {
            float value;
            memcpy(&value, (const unsigned char *)face + 4 * k, sizeof value);
            /* Words 19 to 21 are angles that the writer derives. */
            if ((k < 19 || k > 21) && value != (float)((7 * sample.frame + k) % 65521))
                return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    const struct timespec pause = {0, 200000};
    unsigned long accepted = 0, generations = 0;
    uint64_t generation = 0, silent_generation = 0;
    facetrackd_reader reader, fresh;

    if (argc != 2)
        return 2;
    memset(&reader, 0, sizeof reader);
    for (;;) {
        facetrackd_writer_state state = reader.memory == NULL ? FACETRACKD_CLOSED : facetrackd_state(&reader, 0.3);
        if (state == FACETRACKD_SILENT && silent_generation != generation) {
            silent_generation = generation;
            printf("silent %" PRIu64 "\n", generation);
            fflush(stdout);
        }
        if (state != FACETRACKD_ALIVE && facetrackd_open(&fresh, argv[1]) == 0) {
            if (fresh.generation != generation) {
                facetrackd_close(&reader);
                reader = fresh;
                generation = fresh.generation;
                generations++;
                continue;
            }
            facetrackd_close(&fresh);
            if (state == FACETRACKD_CLOSED)
                break;
        }
        if (reader.memory != NULL && facetrackd_latest(&reader, &sample) == 1) {
            if (!is_whole()) {
                printf("torn sample %" PRIu64 "\n", sample.frame);
                return 1;
            }
            accepted++;
        } else {
            nanosleep(&pause, NULL);
        }
    }
    facetrackd_close(&reader);
    printf("accepted %lu generations %lu\n", accepted, generations);
    return 0;
}
