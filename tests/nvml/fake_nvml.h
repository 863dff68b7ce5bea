/* State of a machine with pretended GPUs, in a file that all of its processes map. tests/gpu_machine.py writes the same layout. */
#ifndef FAKE_NVML_H
#define FAKE_NVML_H

#include <stdint.h>

#define MAGIC 0x4e564d4cu
#define MAX_GPUS 16
#define MAX_PROCESSES 8

/* What can be made to fail or to hang, per GPU; the order is that of gpu_machine.py. */
enum call {
    CALL_HANDLE, CALL_UUID, CALL_NAME, CALL_POWER, CALL_ENERGY, CALL_LIMIT, CALL_DEFAULT, CALL_CONSTRAINTS, CALL_ENFORCED,
    CALL_SET, CALL_FIELDS, CALL_TEMPERATURE, CALL_REASONS, CALL_UTILIZATION, CALL_PROCESSES, CALL_MIG, CALL_COUNT
};

/* load: share of the time in which it works, in periods of period_ms; 0 works always. noise_mw: largest deviation of the draw.
   other_limit_mw: a limit that somebody set out of band, 0 for none. work_mw: draw while it works, below any limit. */
struct gpu {
    char uuid[64];
    char name[64];
    uint32_t idle_mw, work_mw, noise_mw, period_ms, busy_ms;
    uint32_t limit_mw, default_mw, min_mw, max_mw, other_limit_mw;
    uint32_t temperature_c, mig, lost, energy_absent;
    uint64_t energy_uj, capped_ns, updated_ns, drawn_uj;
    uint32_t process_count, writes;
    uint32_t processes[MAX_PROCESSES];
    int32_t error[CALL_COUNT];
    uint32_t delay_ms[CALL_COUNT];
};

/* clock_ns: the machine's time; 0 is that of this computer. allow_set: the caller may set limits (in truth: CAP_SYS_ADMIN). */
struct machine {
    uint32_t magic, count, init_error, allow_set;
    uint64_t clock_ns;
    uint32_t driver_generation, unused;
    struct gpu gpus[MAX_GPUS];
};

#endif
