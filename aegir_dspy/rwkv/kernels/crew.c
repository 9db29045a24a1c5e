/* A sequence of phases, each of independent jobs, done by as many threads as come.
 *
 * Threads take jobs from a common counter; whoever finishes the last job of a phase opens the next one. So a
 * thread that comes late, or never, costs nothing but its help. What a job computes must not depend on who does
 * it.
 */
typedef struct {
    int64_t ticket; /* phase << 32 | next job; 0 at first */
    int64_t done;   /* jobs of the phase */
} crew;

INLINE void wait_a_little(int64_t turn) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (turn > 2000) sched_yield(); /* somebody else may need this processor to go on */
}

/* Every phase has at least one job. Returns when all are done. */
static void work(crew *c, int64_t phases, int64_t (*jobs)(const void *, int64_t phase),
                 void (*job)(const void *, int64_t phase, int64_t number),
                 void (*end)(const void *, int64_t phase), const void *with) {
    for (;;) {
        int64_t ticket = __atomic_fetch_add(&c->ticket, 1, __ATOMIC_ACQ_REL);
        int64_t phase = ticket >> 32, number = ticket & 0xffffffff;
        if (phase >= phases) return;
        int64_t count = jobs(with, phase);
        if (number < count) {
            job(with, phase, number);
            if (__atomic_add_fetch(&c->done, 1, __ATOMIC_ACQ_REL) < count) continue;
            if (end) end(with, phase);
            __atomic_store_n(&c->done, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&c->ticket, (phase + 1) << 32, __ATOMIC_RELEASE);
        } else {
            for (int64_t turn = 0; __atomic_load_n(&c->ticket, __ATOMIC_ACQUIRE) >> 32 == phase; turn++)
                wait_a_little(turn);
        }
    }
}

/* How many rows go into one job that is not a product. */
INLINE int64_t chunk_of(int64_t rows, int64_t threads) {
    int64_t chunk = threads < 2 ? rows : (rows + 4 * threads - 1) / (4 * threads);
    return chunk < 4 ? 4 : chunk;
}
