/* The guest's first process: mounts what a test needs, runs the command after `--` on the kernel's command line, says how
 * it ended, and switches the machine off.
 *
 *   cc -O2 -Wall -Wextra -Werror -static -o init init.c
 *
 * The root is the host's own file system, read-only; /run and /dev/shm can be written. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <string.h>
#include <unistd.h>

static void bring_up_loopback(void) {
  struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  strcpy(request.ifr_name, "lo");
  if (ioctl(fd, SIOCSIFFLAGS, &request)) perror("lo");
  close(fd);
}

int main(int count, char **arguments) {
  int status = 0;
  (void)count;
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  mkdir("/dev/shm", 01777);
  mount("shm", "/dev/shm", "tmpfs", 0, NULL);
  mount("run", "/run", "tmpfs", 0, NULL);
  bring_up_loopback();
  setenv("TMPDIR", "/run", 1);
  setenv("HOME", "/run", 1);
  setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
  if (!fork()) {
    execv(arguments[1], arguments + 1);
    perror(arguments[1]);
    _exit(127);
  }
  wait(&status);
  printf("GUEST-ENDED %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  fflush(stdout);
  sync();
  reboot(RB_POWER_OFF);
  return 0;
}
