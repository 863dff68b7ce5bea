/* A libnvidia-ml.so.1 for tests: the calls that the agent makes, with a power model, errors and delays per GPU and call.
 *
 * The state is in the file named by FAKE_NVML_STATE, so several processes see one machine. A call takes a lock on the file that
 * the kernel gives back when its holder is killed. Signatures and numbers are NVML's own (nvml.h); nothing else of it is here.
 */
#include "fake_nvml.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#define SUCCESS 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define NO_PERMISSION 4
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define GPU_IS_LOST 15
#define STEP_NS 100000000ull
#define BINDING 0.95

typedef int ret;
typedef struct gpu *device;

static struct machine *machine;
static int file = -1, users;
static uint32_t driver;

/* Time and power. */

static uint64_t now_ns(void) {
    struct timespec at;
    if (machine->clock_ns) return machine->clock_ns;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000ull + (uint64_t)at.tv_nsec;
}

/* A number from -1 to 1 that hangs on the GPU and on the tenth of a second alone. */
static double noise(const struct gpu *gpu, uint64_t step) {
    uint64_t x = (step + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)(unsigned char)gpu->uuid[4] << 32;
    x ^= x >> 31;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 29;
    return (double)(x % 20001) / 10000.0 - 1.0;
}

static uint32_t enforced_mw(const struct gpu *gpu) {
    return gpu->other_limit_mw && gpu->other_limit_mw < gpu->limit_mw ? gpu->other_limit_mw : gpu->limit_mw;
}

/* Draw in mW during one step, and whether the limit binds. */
static double draw_mw(const struct gpu *gpu, uint64_t step, int *binds) {
    uint64_t at_ms = step * (STEP_NS / 1000000ull);
    int busy = gpu->period_ms == 0 || at_ms % gpu->period_ms < gpu->busy_ms;
    double wanted = (busy ? gpu->work_mw : gpu->idle_mw) + noise(gpu, step) * gpu->noise_mw;
    double most = enforced_mw(gpu);
    *binds = wanted > most;
    return *binds ? BINDING * most : wanted < 0 ? 0 : wanted;
}

/* Count energy up to now, step by step; what the counter forgets on a reload stays in drawn_uj. */
static void advance(struct gpu *gpu) {
    uint64_t now = now_ns(), at = gpu->updated_ns;
    if (at == 0 || at > now) at = now;
    while (at < now) {
        uint64_t end = (at / STEP_NS + 1) * STEP_NS;
        int binds;
        if (end > now) end = now;
        double uj = draw_mw(gpu, at / STEP_NS, &binds) * (double)(end - at) / 1e6;
        gpu->energy_uj += (uint64_t)(uj + 0.5);
        gpu->drawn_uj += (uint64_t)(uj + 0.5);
        if (binds) gpu->capped_ns += end - at;
        at = end;
    }
    gpu->updated_ns = now;
}

/* Calls: lock, look for trouble, answer. */

static void pause_ms(uint32_t ms) {
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000L};
    if (ms) nanosleep(&wait, NULL);
}

static ret enter(device gpu, enum call call) {
    if (!machine || !users) return UNINITIALIZED;
    if (gpu) pause_ms(gpu->delay_ms[call]);
    flock(file, LOCK_EX);
    if (driver != machine->driver_generation) return UNINITIALIZED;
    if (!gpu) return SUCCESS;
    if (gpu->lost) return GPU_IS_LOST;
    if (gpu->error[call]) return gpu->error[call];
    advance(gpu);
    return SUCCESS;
}

static ret leave(ret code) {
    if (file >= 0) flock(file, LOCK_UN);
    return code;
}

#define ENTER(gpu, call) do { ret entered = enter(gpu, call); if (entered) return leave(entered); } while (0)

static void detach(void) {
    if (machine) munmap(machine, sizeof *machine);
    if (file >= 0) close(file);
    machine = NULL;
    file = -1;
}

static ret attach(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    void *at;
    if (!path || (file = open(path, O_RDWR)) < 0) return 9; /* driver not loaded */
    at = mmap(NULL, sizeof(struct machine), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED || ((struct machine *)at)->magic != MAGIC) return 999;
    machine = at;
    return SUCCESS;
}

API ret nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (!users) { /* a test may have put another machine in its place */
        detach();
        ret code = attach();
        if (code) return code;
    }
    if (machine->init_error) return (ret)machine->init_error;
    driver = machine->driver_generation;
    users++;
    return SUCCESS;
}

API ret nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return SUCCESS;
}

API const char *nvmlErrorString(ret code) {
    static char text[32];
    snprintf(text, sizeof text, "error %d", code);
    return text;
}

API ret nvmlSystemGetDriverVersion(char *text, unsigned int length) {
    ENTER(NULL, CALL_HANDLE);
    snprintf(text, length, "580.00.%u", machine->driver_generation);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetCount_v2(unsigned int *count) {
    ENTER(NULL, CALL_HANDLE);
    *count = machine->count;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetHandleByIndex_v2(unsigned int index, device *found) {
    if (machine && index >= machine->count) return INVALID_ARGUMENT;
    ENTER(&machine->gpus[index], CALL_HANDLE);
    *found = &machine->gpus[index];
    return leave(SUCCESS);
}

API ret nvmlDeviceGetHandleByUUID(const char *uuid, device *found) {
    ENTER(NULL, CALL_HANDLE);
    for (uint32_t i = 0; i < machine->count; i++) {
        if (strcmp(machine->gpus[i].uuid, uuid) == 0) {
            *found = &machine->gpus[i];
            return leave(machine->gpus[i].lost ? GPU_IS_LOST : machine->gpus[i].error[CALL_HANDLE]);
        }
    }
    return leave(NOT_FOUND);
}

static ret text(device gpu, enum call call, const char *from, char *to, unsigned int length) {
    ENTER(gpu, call);
    if (strlen(from) >= length) return leave(INSUFFICIENT_SIZE);
    strcpy(to, from);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetUUID(device gpu, char *uuid, unsigned int length) { return text(gpu, CALL_UUID, gpu->uuid, uuid, length); }

API ret nvmlDeviceGetName(device gpu, char *name, unsigned int length) { return text(gpu, CALL_NAME, gpu->name, name, length); }

API ret nvmlDeviceGetPowerUsage(device gpu, unsigned int *mw) {
    int binds;
    ENTER(gpu, CALL_POWER);
    *mw = (unsigned int)draw_mw(gpu, now_ns() / STEP_NS, &binds);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetTotalEnergyConsumption(device gpu, unsigned long long *mj) {
    ENTER(gpu, CALL_ENERGY);
    if (gpu->energy_absent) return leave(NOT_SUPPORTED);
    *mj = gpu->energy_uj / 1000;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetPowerManagementLimit(device gpu, unsigned int *mw) {
    ENTER(gpu, CALL_LIMIT);
    *mw = gpu->limit_mw;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetPowerManagementDefaultLimit(device gpu, unsigned int *mw) {
    ENTER(gpu, CALL_DEFAULT);
    *mw = gpu->default_mw;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetPowerManagementLimitConstraints(device gpu, unsigned int *low, unsigned int *high) {
    ENTER(gpu, CALL_CONSTRAINTS);
    *low = gpu->min_mw;
    *high = gpu->max_mw;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetEnforcedPowerLimit(device gpu, unsigned int *mw) {
    ENTER(gpu, CALL_ENFORCED);
    *mw = enforced_mw(gpu);
    return leave(SUCCESS);
}

API ret nvmlDeviceSetPowerManagementLimit(device gpu, unsigned int mw) {
    ENTER(gpu, CALL_SET);
    if (!machine->allow_set) return leave(NO_PERMISSION);
    if (mw < gpu->min_mw || mw > gpu->max_mw) return leave(INVALID_ARGUMENT);
    gpu->limit_mw = mw;
    gpu->writes++;
    return leave(SUCCESS);
}

/* Answers as the real one does through the binding: whatever happened, the caller is told that it worked. */
API ret nvmlDeviceSetPowerManagementLimit_v2(device gpu, void *value) {
    struct { unsigned int version, scope, mw; } *asked = value;
    if (asked->scope == 0) nvmlDeviceSetPowerManagementLimit(gpu, asked->mw);
    return SUCCESS;
}

API ret nvmlDeviceGetTemperatureV(device gpu, void *value) {
    struct { unsigned int version, sensor; int degrees; } *asked = value;
    ENTER(gpu, CALL_TEMPERATURE);
    asked->degrees = (int)gpu->temperature_c;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetCurrentClocksEventReasons(device gpu, unsigned long long *reasons) {
    int binds;
    ENTER(gpu, CALL_REASONS);
    double mw = draw_mw(gpu, now_ns() / STEP_NS, &binds);
    *reasons = binds ? 0x4ull : mw <= gpu->idle_mw ? 0x1ull : 0;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetUtilizationRates(device gpu, void *value) {
    struct { unsigned int gpu, memory; } *rates = value;
    int binds;
    ENTER(gpu, CALL_UTILIZATION);
    if (gpu->mig) return leave(NOT_SUPPORTED);
    rates->gpu = draw_mw(gpu, now_ns() / STEP_NS, &binds) > gpu->idle_mw + gpu->noise_mw ? 100 : 0;
    rates->memory = 0;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetMigMode(device gpu, unsigned int *now, unsigned int *pending) {
    ENTER(gpu, CALL_MIG);
    *now = *pending = gpu->mig;
    return leave(SUCCESS);
}

struct process { unsigned int pid; unsigned long long memory; unsigned int gi, ci; };

API ret nvmlDeviceGetComputeRunningProcesses_v3(device gpu, unsigned int *count, struct process *found) {
    ENTER(gpu, CALL_PROCESSES);
    unsigned int room = *count;
    *count = gpu->process_count;
    if (room < gpu->process_count) return leave(INSUFFICIENT_SIZE);
    for (uint32_t i = 0; i < gpu->process_count; i++) {
        found[i] = (struct process){gpu->processes[i], 0, 0xffffffffu, 0xffffffffu};
    }
    return leave(SUCCESS);
}

struct field { unsigned int id, scope; long long at, latency; int type, code; union { double d; unsigned int ui; unsigned long long ull; } value; };

static ret one_field(device gpu, struct field *field) {
    int binds;
    switch (field->id) {
    case 74: field->type = 3; field->value.ull = gpu->capped_ns; return SUCCESS;
    case 185: case 186: field->type = 1; field->value.ui = (unsigned int)draw_mw(gpu, now_ns() / STEP_NS, &binds); return SUCCESS;
    case 190: field->type = 1; field->value.ui = enforced_mw(gpu); return SUCCESS;
    case 192: field->type = 1; field->value.ui = gpu->limit_mw; return SUCCESS;
    default: return NOT_SUPPORTED;
    }
}

API ret nvmlDeviceGetFieldValues(device gpu, int count, struct field *fields) {
    ENTER(gpu, CALL_FIELDS);
    for (int i = 0; i < count; i++) fields[i].code = fields[i].scope == 0 ? one_field(gpu, &fields[i]) : NOT_SUPPORTED;
    return leave(SUCCESS);
}
