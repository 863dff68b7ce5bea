/* State of a machine with pretended GPUs, in a file that all of its processes map. tests/gpu_machine.py writes the same layout. */
#ifndef FAKE_NVML_H
#define FAKE_NVML_H

#include <stdint.h>

#define MAGIC 0x4e564d4du
#define MAX_GPUS 16
#define MAX_PROCESSES 8
#define MAX_STEPS 16
#define MAX_WRITES 4096

/* What can be made to fail or to hang, per GPU; the order is that of gpu_machine.py. */
enum call {
    CALL_HANDLE, CALL_UUID, CALL_NAME, CALL_POWER, CALL_ENERGY, CALL_LIMIT, CALL_DEFAULT, CALL_CONSTRAINTS, CALL_ENFORCED,
    CALL_SET, CALL_FIELDS, CALL_TEMPERATURE, CALL_REASONS, CALL_UTILIZATION, CALL_PROCESSES, CALL_MIG, CALL_COUNT
};

/* One step of a load program. */
struct step { uint32_t ms, milliwatt; };

/* idle_milliwatt, work_milliwatt, period_ms, busy_ms: load; it works for busy_ms of every period_ms, 0: always. program: the
   first `steps` of it, over and over, in place of that. noise_milliwatt: largest deviation of the draw. average_ms: length of
   the mean that a power reading is. work_milliwatt: draw while it works, below any limit. other_limit_milliwatt: a limit that
   somebody set out of band, 0 for none. module_milliwatt: draw of a module whose GPU has no power of its own, 0 for none. lies:
   a limit is taken and nothing changes. round_milliwatt: a limit is cut to whole multiples of it. mig_devices: parts that a
   split GPU has. brakes: further reasons for low clocks. drawn_uj: all energy, whatever the counter forgot. */
struct gpu {
    char uuid[64];
    char name[64];
    uint32_t idle_milliwatt, work_milliwatt, noise_milliwatt, period_ms, busy_ms, average_ms;
    uint32_t limit_milliwatt, default_milliwatt, min_milliwatt, max_milliwatt, other_limit_milliwatt, module_milliwatt;
    uint32_t temperature_c, mig, mig_devices, lost, energy_absent, lies, round_milliwatt, steps, brakes;
    uint64_t energy_uj, capped_ns, updated_ns, drawn_uj;
    uint32_t process_count, writes;
    uint32_t processes[MAX_PROCESSES];
    struct step program[MAX_STEPS];
    int32_t error[CALL_COUNT];
    uint32_t delay_ms[CALL_COUNT];
};

/* Who changed a limit, or tried to. */
enum kind { WRITE_NVML, WRITE_OTHER, WRITE_DRIVER };

/* at_ns: CLOCK_MONOTONIC of this computer, whatever the machine's time is. code: what the caller was told. */
struct write {
    uint64_t at_ns;
    uint32_t pid, gpu, kind, asked_milliwatt, limit_milliwatt;
    int32_t code;
};

/* clock_ns: the machine's time; 0 is that of this computer. allow_set: the caller may set limits (in truth: CAP_SYS_ADMIN).
   log: the last MAX_WRITES of all `logged` changes of limits, the one with number n at n modulo MAX_WRITES. */
struct machine {
    uint32_t magic, count, init_error, allow_set;
    uint64_t clock_ns;
    uint32_t driver_generation, init_delay_ms, count_error, persistence_off;
    uint64_t logged;
    struct gpu gpus[MAX_GPUS];
    struct write log[MAX_WRITES];
};

#endif
