/* A libnvidia-ml.so.1 for tests: the calls that the agent makes, with a power model, errors and delays per GPU and call.
 *
 * The state is in the file named by FAKE_NVML_STATE, so several processes see one machine. A call takes a lock on the file that
 * the kernel gives back when its holder is killed. Signatures and numbers are NVML's own (nvml.h); nothing else of it is here.
 */
#include "fake_nvml.h"

#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
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
#define DRIVER_NOT_LOADED 9
#define GPU_IS_LOST 15
#define UNKNOWN 999
#define STEP_MS 100u
#define STEP_NS 100000000ull
#define NS_PER_MS 1000000ull
#define BINDING 0.95

typedef int ret;
/* A handle is no address: generation of the driver, number of the part of a split GPU, number of the GPU, each from 1. */
typedef void *device;

static struct machine *machine;
static int file = -1, users;
static uint32_t driver;
/* The file's lock is between processes; this one is between threads of one. */
static pthread_mutex_t inside = PTHREAD_MUTEX_INITIALIZER;

/* Time and power. */

static uint64_t computer_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000ull + (uint64_t)at.tv_nsec;
}

static uint64_t now_ns(void) { return machine->clock_ns ? machine->clock_ns : computer_ns(); }

/* A number from -1 to 1 that hangs on the GPU and on the tenth of a second alone. */
static double noise(const struct gpu *gpu, uint64_t step) {
    uint64_t x = (step + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)(unsigned char)gpu->uuid[7] << 32;
    x ^= x >> 31;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 29;
    return (double)(x % 20001) / 10000.0 - 1.0;
}

static uint32_t enforced_milliwatt(const struct gpu *gpu) {
    uint32_t other = gpu->other_limit_milliwatt;
    return other && other < gpu->limit_milliwatt ? other : gpu->limit_milliwatt;
}

/* Draw in mW that the load wants, without noise and limit. */
static uint32_t load_milliwatt(const struct gpu *gpu, uint64_t at_ms) {
    uint64_t whole = 0;
    for (uint32_t i = 0; i < gpu->steps && i < MAX_STEPS; i++) whole += gpu->program[i].ms;
    if (whole == 0) {
        int works = gpu->period_ms == 0 || at_ms % gpu->period_ms < gpu->busy_ms;
        return works ? gpu->work_milliwatt : gpu->idle_milliwatt;
    }
    at_ms %= whole;
    uint32_t i = 0;
    while (at_ms >= gpu->program[i].ms) at_ms -= gpu->program[i++].ms;
    return gpu->program[i].milliwatt;
}

/* Draw in mW during one step, and whether the limit binds. */
static double draw_milliwatt(const struct gpu *gpu, uint64_t step, int *binds) {
    double wanted = load_milliwatt(gpu, step * STEP_MS) + noise(gpu, step) * gpu->noise_milliwatt;
    double most = enforced_milliwatt(gpu);
    *binds = wanted > most;
    return *binds ? BINDING * most : wanted < 0 ? 0 : wanted;
}

/* What a power reading says: the mean over the steps of the last average_ms, the present one among them. */
static unsigned int reading_milliwatt(const struct gpu *gpu) {
    uint64_t last = now_ns() / STEP_NS, many = gpu->average_ms / STEP_MS;
    double sum = 0;
    int binds;
    if (many < 1) many = 1;
    if (many > last + 1) many = last + 1;
    for (uint64_t i = 0; i < many; i++) sum += draw_milliwatt(gpu, last - i, &binds);
    return (unsigned int)(sum / (double)many + 0.5);
}

/* Count energy up to now, step by step; what the counter forgets on a reload stays in drawn_uj. */
static void advance(struct gpu *gpu) {
    uint64_t now = now_ns(), at = gpu->updated_ns;
    if (at == 0 || at > now) at = now;
    while (at < now) {
        uint64_t end = (at / STEP_NS + 1) * STEP_NS;
        int binds;
        if (end > now) end = now;
        double uj = draw_milliwatt(gpu, at / STEP_NS, &binds) * (double)(end - at) / 1e6;
        gpu->energy_uj += (uint64_t)(uj + 0.5);
        gpu->drawn_uj += (uint64_t)(uj + 0.5);
        if (binds) gpu->capped_ns += end - at;
        at = end;
    }
    gpu->updated_ns = now;
}

/* Calls: lock, look for trouble, answer. */

/* As long as it is told to, also when that changes meanwhile. */
static void hang(const volatile uint32_t *ms) {
    uint64_t began = computer_ns(), passed;
    while ((passed = (computer_ns() - began) / NS_PER_MS) < *ms) {
        uint64_t rest = *ms - passed;
        struct timespec wait = {0, (long)((rest < 10 ? rest : 10) * NS_PER_MS)};
        nanosleep(&wait, NULL);
    }
}

static void lock(void) {
    pthread_mutex_lock(&inside);
    if (file >= 0) flock(file, LOCK_EX);
}

static ret leave(ret code) {
    if (file >= 0) flock(file, LOCK_UN);
    pthread_mutex_unlock(&inside);
    return code;
}

static device handle_of(uint32_t gpu, uint32_t part) {
    return (device)(((uintptr_t)driver + 1) << 16 | (uintptr_t)part << 8 | (gpu + 1));
}

static uint32_t part_of(device handle) { return (uint32_t)((uintptr_t)handle >> 8 & 0xff); }

static ret enter_machine(void) {
    lock();
    if (!machine || !users || driver != machine->driver_generation) return UNINITIALIZED;
    return SUCCESS;
}

static ret enter(device handle, enum call call, struct gpu **found) {
    uint32_t number = (uint32_t)((uintptr_t)handle & 0xff) - 1;
    if (machine && number < machine->count) hang(&machine->gpus[number].delay_ms[call]);
    ret code = enter_machine();
    if (code) return code;
    if (number >= machine->count || (uintptr_t)handle >> 16 != (uintptr_t)driver + 1) return INVALID_ARGUMENT;
    struct gpu *gpu = *found = &machine->gpus[number];
    if (gpu->lost) return GPU_IS_LOST;
    if (gpu->error[call]) return gpu->error[call];
    if (part_of(handle) && (!gpu->mig || part_of(handle) > gpu->mig_devices)) return INVALID_ARGUMENT;
    advance(gpu);
    return SUCCESS;
}

#define ENTER_MACHINE() do { ret entered = enter_machine(); if (entered) return leave(entered); } while (0)
#define ENTER(handle, call) \
    struct gpu *gpu = NULL; \
    do { ret entered = enter(handle, call, &gpu); if (entered) return leave(entered); } while (0)
/* What only a whole GPU has: power, energy, limits. */
#define ENTER_WHOLE(handle, call) ENTER(handle, call); if (part_of(handle)) return leave(NOT_SUPPORTED)

/* Map the machine. One that was mapped before stays where it is: a call of another thread may be hanging in it. */
static ret attach(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    struct stat here, there;
    int opened;
    if (!path || (opened = open(path, O_RDWR | O_CLOEXEC)) < 0) return DRIVER_NOT_LOADED;
    if (file >= 0 && fstat(file, &here) == 0 && fstat(opened, &there) == 0 && here.st_ino == there.st_ino &&
        here.st_dev == there.st_dev) {
        close(opened);
        return SUCCESS;
    }
    void *at = mmap(NULL, sizeof(struct machine), PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    if (at == MAP_FAILED || ((struct machine *)at)->magic != MAGIC) {
        close(opened);
        return UNKNOWN;
    }
    if (file >= 0) {
        flock(file, LOCK_UN);
        close(file);
    }
    file = opened;
    flock(file, LOCK_EX);
    machine = at;
    return SUCCESS;
}

API ret nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (machine) hang(&machine->init_delay_ms);
    lock();
    if (!users) { /* a test may have put another machine in its place */
        ret code = attach();
        if (code) return leave(code);
    }
    if (machine->init_error) return leave((ret)machine->init_error);
    driver = machine->driver_generation;
    users++;
    return leave(SUCCESS);
}

API ret nvmlShutdown(void) {
    lock();
    if (!users) return leave(UNINITIALIZED);
    users--;
    return leave(SUCCESS);
}

API const char *nvmlErrorString(ret code) {
    static __thread char text[32];
    snprintf(text, sizeof text, "error %d", code);
    return text;
}

API ret nvmlSystemGetDriverVersion(char *text, unsigned int length) {
    ENTER_MACHINE();
    snprintf(text, length, "580.00.%u", machine->driver_generation);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetCount_v2(unsigned int *count) {
    ENTER_MACHINE();
    if (machine->count_error) return leave((ret)machine->count_error);
    *count = machine->count;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetHandleByIndex_v2(unsigned int index, device *found) {
    ENTER(handle_of(index, 0), CALL_HANDLE);
    *found = handle_of(index, 0);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetHandleByUUID(const char *uuid, device *found) {
    uint32_t index = 0;
    while (machine && index < machine->count && strcmp(machine->gpus[index].uuid, uuid) != 0) index++;
    if (machine && users && index >= machine->count) return NOT_FOUND;
    return nvmlDeviceGetHandleByIndex_v2(index, found);
}

static ret text(const char *from, char *to, unsigned int length) {
    if (strlen(from) >= length) return leave(INSUFFICIENT_SIZE);
    strcpy(to, from);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetUUID(device handle, char *uuid, unsigned int length) {
    char part[80];
    ENTER(handle, CALL_UUID);
    snprintf(part, sizeof part, "MIG-%s-%u", gpu->uuid + 4, part_of(handle));
    return text(part_of(handle) ? part : gpu->uuid, uuid, length);
}

API ret nvmlDeviceGetName(device handle, char *name, unsigned int length) {
    ENTER(handle, CALL_NAME);
    return text(gpu->name, name, length);
}

API ret nvmlDeviceGetPowerUsage(device handle, unsigned int *milliwatt) {
    ENTER_WHOLE(handle, CALL_POWER);
    if (gpu->module_milliwatt) return leave(NOT_SUPPORTED);
    *milliwatt = reading_milliwatt(gpu);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetTotalEnergyConsumption(device handle, unsigned long long *mj) {
    ENTER_WHOLE(handle, CALL_ENERGY);
    if (gpu->energy_absent) return leave(NOT_SUPPORTED);
    *mj = gpu->energy_uj / 1000;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetPowerManagementLimit(device handle, unsigned int *milliwatt) {
    ENTER_WHOLE(handle, CALL_LIMIT);
    *milliwatt = gpu->limit_milliwatt;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetPowerManagementDefaultLimit(device handle, unsigned int *milliwatt) {
    ENTER_WHOLE(handle, CALL_DEFAULT);
    *milliwatt = gpu->default_milliwatt;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetPowerManagementLimitConstraints(device handle, unsigned int *low, unsigned int *high) {
    ENTER_WHOLE(handle, CALL_CONSTRAINTS);
    *low = gpu->min_milliwatt;
    *high = gpu->max_milliwatt;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetEnforcedPowerLimit(device handle, unsigned int *milliwatt) {
    ENTER_WHOLE(handle, CALL_ENFORCED);
    *milliwatt = enforced_milliwatt(gpu);
    return leave(SUCCESS);
}

/* Note a try to set a limit, as it ended, and leave. */
static ret logged(const struct gpu *gpu, uint32_t asked_milliwatt, ret code) {
    if (gpu) {
        machine->log[machine->logged % MAX_WRITES] = (struct write){
            .at_ns = computer_ns(), .pid = (uint32_t)getpid(), .gpu = (uint32_t)(gpu - machine->gpus), .kind = WRITE_NVML,
            .asked_milliwatt = asked_milliwatt, .limit_milliwatt = gpu->limit_milliwatt, .code = code,
        };
        machine->logged++;
    }
    return leave(code);
}

API ret nvmlDeviceSetPowerManagementLimit(device handle, unsigned int milliwatt) {
    struct gpu *gpu = NULL;
    ret entered = enter(handle, CALL_SET, &gpu);
    if (entered) return logged(gpu, milliwatt, entered);
    if (part_of(handle) || gpu->module_milliwatt) return logged(gpu, milliwatt, NOT_SUPPORTED);
    if (!machine->allow_set) return logged(gpu, milliwatt, NO_PERMISSION);
    if (milliwatt < gpu->min_milliwatt || milliwatt > gpu->max_milliwatt) return logged(gpu, milliwatt, INVALID_ARGUMENT);
    if (!gpu->lies) gpu->limit_milliwatt = gpu->round_milliwatt ? milliwatt - milliwatt % gpu->round_milliwatt : milliwatt;
    gpu->writes++;
    return logged(gpu, milliwatt, SUCCESS);
}

/* Answers as the real one does through the binding: whatever happened, the caller is told that it worked. */
API ret nvmlDeviceSetPowerManagementLimit_v2(device handle, void *value) {
    struct { unsigned int version, scope, milliwatt; } *asked = value;
    if (asked->scope == 0) nvmlDeviceSetPowerManagementLimit(handle, asked->milliwatt);
    return SUCCESS;
}

API ret nvmlDeviceGetTemperatureV(device handle, void *value) {
    struct { unsigned int version, sensor; int degrees; } *asked = value;
    ENTER(handle, CALL_TEMPERATURE);
    asked->degrees = (int)gpu->temperature_c;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetCurrentClocksEventReasons(device handle, unsigned long long *reasons) {
    int binds;
    ENTER(handle, CALL_REASONS);
    double milliwatt = draw_milliwatt(gpu, now_ns() / STEP_NS, &binds);
    *reasons = (binds ? 0x4ull : milliwatt <= gpu->idle_milliwatt ? 0x1ull : 0) | gpu->brakes;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetUtilizationRates(device handle, void *value) {
    struct { unsigned int gpu, memory; } *rates = value;
    int binds;
    ENTER_WHOLE(handle, CALL_UTILIZATION);
    if (gpu->mig) return leave(NOT_SUPPORTED);
    rates->gpu = draw_milliwatt(gpu, now_ns() / STEP_NS, &binds) > gpu->idle_milliwatt + gpu->noise_milliwatt ? 100 : 0;
    rates->memory = 0;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetPersistenceMode(device handle, unsigned int *mode) {
    ENTER(handle, CALL_HANDLE);
    *mode = !machine->persistence_off;
    return leave(SUCCESS);
}

/* Split GPUs. */

API ret nvmlDeviceGetMigMode(device handle, unsigned int *now, unsigned int *pending) {
    ENTER(handle, CALL_MIG);
    *now = *pending = gpu->mig;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetMaxMigDeviceCount(device handle, unsigned int *count) {
    ENTER(handle, CALL_MIG);
    *count = gpu->mig ? 7 : 0;
    return leave(SUCCESS);
}

API ret nvmlDeviceGetMigDeviceHandleByIndex(device handle, unsigned int index, device *found) {
    ENTER(handle, CALL_MIG);
    if (!gpu->mig || index >= gpu->mig_devices) return leave(NOT_FOUND);
    *found = handle_of((uint32_t)(gpu - machine->gpus), index + 1);
    return leave(SUCCESS);
}

API ret nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device handle, device *found) {
    ENTER(handle, CALL_MIG);
    if (!part_of(handle)) return leave(INVALID_ARGUMENT);
    *found = handle_of((uint32_t)(gpu - machine->gpus), 0);
    return leave(SUCCESS);
}

API ret nvmlDeviceIsMigDeviceHandle(device handle, unsigned int *part) {
    ENTER(handle, CALL_MIG);
    *part = part_of(handle) != 0;
    return leave(SUCCESS);
}

struct process { unsigned int pid; unsigned long long memory; unsigned int gi, ci; };

API ret nvmlDeviceGetComputeRunningProcesses_v3(device handle, unsigned int *count, struct process *found) {
    ENTER(handle, CALL_PROCESSES);
    unsigned int room = *count;
    *count = gpu->process_count;
    if (room < gpu->process_count) return leave(INSUFFICIENT_SIZE);
    for (uint32_t i = 0; i < gpu->process_count; i++) {
        found[i] = (struct process){gpu->processes[i], 0, 0xffffffffu, 0xffffffffu};
    }
    return leave(SUCCESS);
}

struct field {
    unsigned int id, scope;
    long long at, latency;
    int type, code;
    union { double d; unsigned int ui; unsigned long long ull; } value;
};

static ret module_field(const struct gpu *gpu, struct field *field) {
    if (!gpu->module_milliwatt || (field->id != 185 && field->id != 186)) return NOT_SUPPORTED;
    field->type = 1;
    field->value.ui = gpu->module_milliwatt;
    return SUCCESS;
}

static ret one_field(const struct gpu *gpu, struct field *field) {
    int binds;
    if (field->scope == 1) return module_field(gpu, field);
    if (field->scope != 0) return NOT_SUPPORTED;
    field->type = 1;
    switch (field->id) {
    case 74: field->type = 3; field->value.ull = gpu->capped_ns; return SUCCESS;
    case 185: field->value.ui = reading_milliwatt(gpu); return gpu->module_milliwatt ? NOT_SUPPORTED : SUCCESS;
    case 186:
        field->value.ui = (unsigned int)draw_milliwatt(gpu, now_ns() / STEP_NS, &binds);
        return gpu->module_milliwatt ? NOT_SUPPORTED : SUCCESS;
    case 190: field->value.ui = enforced_milliwatt(gpu); return SUCCESS;
    case 192: field->value.ui = gpu->limit_milliwatt; return SUCCESS;
    default: return NOT_SUPPORTED;
    }
}

API ret nvmlDeviceGetFieldValues(device handle, int count, struct field *fields) {
    ENTER_WHOLE(handle, CALL_FIELDS);
    for (int i = 0; i < count; i++) fields[i].code = one_field(gpu, &fields[i]);
    return leave(SUCCESS);
}

/* For the twin of these structs in gpu_machine.py: sizes, then offsets of what begins each group of fields. */
#define AT(of, field) (uint32_t)offsetof(struct of, field)
API const uint32_t fake_nvml_layout[] = {
    sizeof(struct step), sizeof(struct gpu), sizeof(struct write), sizeof(struct machine),
    AT(gpu, uuid), AT(gpu, name), AT(gpu, idle_milliwatt), AT(gpu, work_milliwatt), AT(gpu, noise_milliwatt),
    AT(gpu, period_ms), AT(gpu, busy_ms), AT(gpu, average_ms), AT(gpu, limit_milliwatt), AT(gpu, default_milliwatt),
    AT(gpu, min_milliwatt), AT(gpu, max_milliwatt), AT(gpu, other_limit_milliwatt), AT(gpu, module_milliwatt),
    AT(gpu, temperature_c), AT(gpu, mig), AT(gpu, mig_devices), AT(gpu, lost), AT(gpu, energy_absent), AT(gpu, lies),
    AT(gpu, round_milliwatt), AT(gpu, steps), AT(gpu, brakes), AT(gpu, energy_uj), AT(gpu, capped_ns), AT(gpu, updated_ns),
    AT(gpu, drawn_uj), AT(gpu, process_count), AT(gpu, writes), AT(gpu, processes), AT(gpu, program), AT(gpu, error),
    AT(gpu, delay_ms),
    AT(write, at_ns), AT(write, pid), AT(write, gpu), AT(write, kind), AT(write, asked_milliwatt),
    AT(write, limit_milliwatt), AT(write, code),
    AT(machine, magic), AT(machine, count), AT(machine, init_error), AT(machine, allow_set), AT(machine, clock_ns),
    AT(machine, driver_generation), AT(machine, init_delay_ms), AT(machine, count_error), AT(machine, persistence_off),
    AT(machine, logged), AT(machine, gpus), AT(machine, log),
};
