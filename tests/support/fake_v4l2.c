/* A camera of Video4Linux without one, for LD_PRELOAD: whoever opens $FAKE_V4L2 gets a file in memory that
 * answers a capture device's requests and shows the YUYV pictures of $FAKE_V4L2_PICTURES, 25 a second, of
 * $FAKE_V4L2_WIDTH x $FAKE_V4L2_HEIGHT, again and again. It is unplugged once $FAKE_V4L2 is removed; while
 * that file holds something, another program has it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 4 };
static int device = -1, pictures = -1, queued[BUFFERS], head, count, shown;
static unsigned width, height, size, room; /* room: of a buffer, whole pages */

static int fail(int error) {
    errno = error;
    return -1;
}

static int plug_in(const char *path) {
    struct stat found;
    if (stat(path, &found)) return fail(ENOENT);
    if (found.st_size) return fail(EBUSY);
    width = atoi(getenv("FAKE_V4L2_WIDTH"));
    height = atoi(getenv("FAKE_V4L2_HEIGHT"));
    size = 2 * width * height;
    room = (size + 4095) & ~4095u;
    head = count = 0;
    device = memfd_create("camera", MFD_CLOEXEC);
    return ftruncate(device, (off_t)BUFFERS * room) ? -1 : device;
}

static int open_any(const char *name, const char *path, int flags, mode_t mode) {
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    const char *mine = getenv("FAKE_V4L2");
    if (mine && !strcmp(path, mine)) {
        if (pictures < 0) pictures = next(getenv("FAKE_V4L2_PICTURES"), O_RDONLY | O_CLOEXEC, 0);
        return plug_in(path);
    }
    return next(path, flags, mode);
}

#define OPEN(NAME)                                       \
    int NAME(const char *path, int flags, ...) {         \
        va_list more;                                    \
        va_start(more, flags);                           \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
        va_end(more);                                    \
        return open_any(#NAME, path, flags, mode);       \
    }
OPEN(open)
OPEN(open64)

static int take(struct v4l2_buffer *buffer) {
    struct timespec step = {0, 40000000};
    nanosleep(&step, NULL);
    if (access(getenv("FAKE_V4L2"), F_OK)) return fail(ENODEV);
    if (!count) return fail(EAGAIN);
    int index = queued[head];
    head = (head + 1) % BUFFERS;
    count--;
    struct stat found;
    fstat(pictures, &found);
    unsigned char *picture = malloc(size);
    off_t place = (off_t)(shown++ % (found.st_size / size)) * size;
    int good = pread(pictures, picture, size, place) == (ssize_t)size
        && pwrite(device, picture, size, (off_t)index * room) == (ssize_t)size;
    free(picture);
    if (!good) return fail(EIO);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->index = index;
    buffer->bytesused = size;
    buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int answer(unsigned long request, void *data) {
    struct v4l2_capability *able = data;
    struct v4l2_format *format = data;
    struct v4l2_streamparm *rate = data;
    struct v4l2_requestbuffers *wanted = data;
    struct v4l2_buffer *buffer = data;
    switch ((unsigned)request) {
    case VIDIOC_QUERYCAP:
        memset(able, 0, sizeof *able);
        able->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_G_INPUT:
        *(int *)data = 0;
        return 0;
    case VIDIOC_S_INPUT:
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return 0;
    case VIDIOC_ENUMINPUT:
        return ((struct v4l2_input *)data)->index ? fail(EINVAL) : 0;
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        format->fmt.pix.width = width;
        format->fmt.pix.height = height;
        format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
        format->fmt.pix.field = V4L2_FIELD_NONE;
        format->fmt.pix.bytesperline = 2 * width;
        format->fmt.pix.sizeimage = size;
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        rate->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        rate->parm.capture.timeperframe.numerator = 1;
        rate->parm.capture.timeperframe.denominator = 25;
        return 0;
    case VIDIOC_REQBUFS:
        if (wanted->count > BUFFERS) wanted->count = BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length = size;
        buffer->m.offset = buffer->index * room;
        return 0;
    case VIDIOC_QBUF:
        queued[(head + count++) % BUFFERS] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        return take(buffer);
    default:
        return fail(ENOTTY);
    }
}

int ioctl(int file, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *data = va_arg(more, void *);
    va_end(more);
    if (file == device && file >= 0 && _IOC_TYPE(request) == 'V') return answer(request, data);
    int (*next)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    return next(file, request, data);
}
