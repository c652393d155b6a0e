/* Prints what a face does: each new frame's head and strongest blendshapes. Usage: print_blendshapes [RING [FRAMES]] */
#include "facetrackd_shm.h"

#include <stdio.h>
#include <stdlib.h>

static facetrackd_sample sample;

static void print_face(const facetrackd_face *face)
{
    int i;
    printf("frame %llu  face %u  yaw %+5.1f pitch %+5.1f roll %+5.1f ", (unsigned long long)sample.frame, face->id,
           face->yaw_rad * 57.29578, face->pitch_rad * 57.29578, face->roll_rad * 57.29578);
    for (i = 0; i < FACETRACKD_BLENDSHAPES; i++)
        if (face->blendshapes[i] > 0.2f)
            printf(" %s %.2f", facetrackd_blendshape_name(i), face->blendshapes[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "default";
    long frames = argc > 2 ? atol(argv[2]) : -1;
    const struct timespec pause = {0, 2000000};
    facetrackd_reader reader;
    const int error = facetrackd_open(&reader, name);

    if (error != 0) {
        fprintf(stderr, "cannot open the ring %s: %s\n", name, strerror(error));
        return 1;
    }
    while (frames != 0 && facetrackd_state(&reader, 2.0) == FACETRACKD_ALIVE) {
        if (facetrackd_latest(&reader, &sample) == 1) {
            uint32_t i;
            for (i = 0; i < sample.face_count; i++)
                print_face(&sample.faces[i]);
            frames -= frames > 0;
        } else {
            nanosleep(&pause, NULL);
        }
    }
    facetrackd_close(&reader);
    return 0;
}
