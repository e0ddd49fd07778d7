/* An NVIDIA driver and its video decoder without a GPU, as far as FFmpeg looks: libcuda and libnvcuvid in one.
 * What it "decodes" are the pictures of a file, NV12 or P016 of the coded size, one after the other.
 *
 * FAKE_NVDEC_PICTURES: that file. FAKE_NVDEC_NO: says that it decodes nothing. FAKE_NVDEC_FAIL_AT: the number
 * of the picture from which on decoding fails. There are two GPUs; FAKE_NVDEC_LOG: a file that gets the number
 * of each that is opened. Functions and structures are those of NVIDIA's nv-codec-headers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long Pointer;

#define NOTHING(name) \
    int name() { return 0; }
NOTHING(cuInit) NOTHING(cuCtxSetLimit) NOTHING(cuCtxPushCurrent_v2)
NOTHING(cuCtxPopCurrent_v2) NOTHING(cuCtxDestroy_v2) NOTHING(cuCtxGetCurrent) NOTHING(cuCtxGetDevice)
NOTHING(cuMemAllocManaged) NOTHING(cuMemsetD8Async) NOTHING(cuMemcpy) NOTHING(cuMemcpyAsync)
NOTHING(cuMemcpyHtoD_v2) NOTHING(cuMemcpyHtoDAsync_v2) NOTHING(cuMemcpyDtoH_v2) NOTHING(cuMemcpyDtoHAsync_v2)
NOTHING(cuMemcpyDtoD_v2) NOTHING(cuMemcpyDtoDAsync_v2) NOTHING(cuDevicePrimaryCtxRetain)
NOTHING(cuDevicePrimaryCtxRelease) NOTHING(cuDevicePrimaryCtxSetFlags) NOTHING(cuDevicePrimaryCtxGetState)
NOTHING(cuDevicePrimaryCtxReset) NOTHING(cuStreamCreate) NOTHING(cuStreamQuery) NOTHING(cuStreamSynchronize)
NOTHING(cuStreamDestroy_v2) NOTHING(cuStreamAddCallback) NOTHING(cuStreamWaitEvent) NOTHING(cuEventCreate)
NOTHING(cuEventDestroy_v2) NOTHING(cuEventSynchronize) NOTHING(cuEventQuery) NOTHING(cuEventRecord)
NOTHING(cuLaunchKernel) NOTHING(cuLinkCreate) NOTHING(cuLinkAddData) NOTHING(cuLinkComplete)
NOTHING(cuLinkDestroy) NOTHING(cuModuleLoadData) NOTHING(cuModuleUnload) NOTHING(cuModuleGetFunction)
NOTHING(cuModuleGetGlobal) NOTHING(cuTexObjectCreate) NOTHING(cuTexObjectDestroy) NOTHING(cuGLGetDevices_v2)
NOTHING(cuGraphicsGLRegisterImage) NOTHING(cuGraphicsUnregisterResource) NOTHING(cuGraphicsMapResources)
NOTHING(cuGraphicsUnmapResources) NOTHING(cuGraphicsSubResourceGetMappedArray)
NOTHING(cuGraphicsResourceGetMappedPointer_v2) NOTHING(cuArrayCreate_v2) NOTHING(cuArray3DCreate_v2)
NOTHING(cuArrayDestroy) NOTHING(cuMipmappedArrayGetLevel) NOTHING(cuMipmappedArrayDestroy)
NOTHING(cuvidCtxLockCreate) NOTHING(cuvidCtxLockDestroy) NOTHING(cuvidCtxLock) NOTHING(cuvidCtxUnlock)
NOTHING(cuvidReconfigureDecoder) NOTHING(cuvidGetDecodeStatus) NOTHING(cuvidUnmapVideoFrame64)
NOTHING(cuvidCreateVideoSource) NOTHING(cuvidCreateVideoSourceW) NOTHING(cuvidDestroyVideoSource)
NOTHING(cuvidSetVideoSourceState) NOTHING(cuvidGetVideoSourceState) NOTHING(cuvidGetSourceVideoFormat)
NOTHING(cuvidGetSourceAudioFormat) NOTHING(cuvidCreateVideoParser) NOTHING(cuvidParseVideoData)
NOTHING(cuvidDestroyVideoParser)

int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { return *value = 256, 0; } /* of alignment */
int cuDeviceGetCount(int *count) { return *count = 2, 0; }
int cuDeviceGet(int *device, int number) { return *device = number, number < 2 ? 0 : 101; }
int cuDeviceGetName(char *name, int size, int device) { return snprintf(name, size, "GPU %d", device), 0; }
int cuDeviceComputeCapability(int *major, int *minor, int device) { return *major = 8, *minor = 6, 0; }
int cuGetErrorName(int error, const char **text) { return *text = "FAKE_ERROR", 0; }
int cuGetErrorString(int error, const char **text) { return *text = "as the test asked", 0; }

int cuCtxCreate_v2(void **context, unsigned flags, int device) {
    const char *path = getenv("FAKE_NVDEC_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (log) fprintf(log, "%d\n", device), fclose(log);
    return *context = (void *)1, 0;
}

int cuMemAlloc_v2(Pointer *made, size_t size) { return *made = (Pointer)calloc(1, size), 0; }
int cuMemAllocPitch_v2(Pointer *made, size_t *pitch, size_t width, size_t height, unsigned element) {
    *pitch = (width + 255) / 256 * 256;
    return cuMemAlloc_v2(made, *pitch * height);
}
int cuMemFree_v2(Pointer memory) { return free((void *)memory), 0; }

typedef struct { /* CUDA_MEMCPY2D */
    size_t src_x, src_y;
    int src_type;
    const void *src_host;
    Pointer src_device;
    void *src_array;
    size_t src_pitch, dst_x, dst_y;
    int dst_type;
    void *dst_host;
    Pointer dst_device;
    void *dst_array;
    size_t dst_pitch, width, height;
} Copy;

int cuMemcpy2D_v2(const Copy *c) {
    const char *from = c->src_type == 1 ? c->src_host : (const char *)c->src_device;
    char *to = c->dst_type == 1 ? c->dst_host : (char *)c->dst_device;
    for (size_t row = 0; row < c->height; row++)
        memcpy(to + (c->dst_y + row) * c->dst_pitch + c->dst_x,
               from + (c->src_y + row) * c->src_pitch + c->src_x, c->width);
    return 0;
}
int cuMemcpy2DAsync_v2(const Copy *c, void *stream) { return cuMemcpy2D_v2(c); }

typedef struct { /* CUVIDDECODECAPS, its beginning */
    int codec, chroma;
    unsigned deeper, reserved[3];
    unsigned char supported, engines;
    unsigned short formats;
    unsigned most_width, most_height, most_blocks;
    unsigned short least_width, least_height;
} Caps;

int cuvidGetDecoderCaps(Caps *caps) {
    caps->supported = getenv("FAKE_NVDEC_NO") == NULL;
    caps->formats = 0xffff;
    caps->most_width = caps->most_height = 8192;
    caps->most_blocks = 1 << 20;
    return 0;
}

typedef struct { /* CUVIDDECODECREATEINFO, its beginning */
    unsigned long width, height, surfaces;
    int codec, chroma;
    unsigned long flags, deeper;
} Create;

typedef struct {
    size_t pitch, size;
    int decoded;
    char *surfaces[64];
    FILE *pictures;
} Decoder;

int cuvidCreateDecoder(Decoder **made, const Create *wanted) {
    Decoder *d = calloc(1, sizeof *d);
    d->pitch = wanted->width << (wanted->deeper > 0);
    d->size = d->pitch * wanted->height * 3 / 2;
    d->pictures = fopen(getenv("FAKE_NVDEC_PICTURES"), "rb");
    return *made = d, d->pictures ? 0 : 1;
}

int cuvidDestroyDecoder(Decoder *d) {
    for (int i = 0; i < 64; i++) free(d->surfaces[i]);
    fclose(d->pictures);
    return free(d), 0;
}

int cuvidDecodePicture(Decoder *d, const int *picture) { /* CUVIDPICPARAMS: the third number is the surface */
    const char *fail = getenv("FAKE_NVDEC_FAIL_AT");
    if (fail && d->decoded >= atoi(fail)) return 999;
    char **surface = &d->surfaces[picture[2] & 63];
    if (!*surface) *surface = malloc(d->size);
    d->decoded++;
    return fread(*surface, 1, d->size, d->pictures) == d->size ? 0 : 999;
}

int cuvidMapVideoFrame64(Decoder *d, int surface, Pointer *made, unsigned *pitch, void *how) {
    *made = (Pointer)d->surfaces[surface & 63];
    return *pitch = d->pitch, 0;
}
