/* Rows times one matrix, and the best of every row; at least one row. */
typedef struct {
    const matrix *m;
    const float *in; /* (rows, depth) */
    float *out;      /* (rows, width) */
    char *scratch;   /* rows · row_bytes; not for FLOAT */
    int64_t rows, threads;
    int64_t vocab;   /* columns that count */
    int64_t choices; /* columns among which the best is looked for; 0: leave out what follows */
    int64_t *best;   /* (rows) the first of the largest */
    float *total;    /* (rows) log Σ exp */
    crew crew;
} scoring;

enum { CONVERT, MULTIPLY, CHOOSE };

CLONED void convert_rows(const scoring *c, int64_t first, int64_t last) {
    int64_t depth = c->m->depth;
    for (int64_t row = first; row < last; row++)
        for (int64_t i = 0; i < depth; i += GROUP) {
            int wide = depth - i < GROUP ? (int)(depth - i) / LANES : MOST_WIDE;
            vf x[MOST_WIDE];
            for (int v = 0; v < wide; v++) x[v] = at(c->in, row * depth + i + v * LANES);
            put(c->scratch + row * row_bytes(c->m->kind, depth), c->m->kind, i, depth, x, wide);
        }
}

INLINE float top_of(const float *x, int64_t count) {
    vf most = {0};
    most -= INFINITY;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) most = chosen((vu)(at(x, i) > most), at(x, i), most);
    float top = largest(most);
    for (; i < count; i++) top = x[i] > top ? x[i] : top;
    return top;
}

CLONED void choose_row(const scoring *c, int64_t row) {
    const float *x = c->out + row * c->m->width;
    float top = top_of(x, c->vocab), best = c->choices == c->vocab ? top : top_of(x, c->choices);
    vf sum = {0}, zero = {0};
    int64_t i = 0;
    for (; i + LANES <= c->vocab; i += LANES) sum += exp16(at(x, i) - top);
    float heap = total(sum);
    for (; i < c->vocab; i++) heap += exp16(zero + (x[i] - top))[0];
    c->total[row] = top + __builtin_logf(heap);
    i = 0;
    while (i + 1 < c->choices && x[i] != best) i++;
    c->best[row] = i;
}

static int64_t scoring_blocks(const scoring *c) {
    int64_t count = panels(c->m), wanted = (4 * c->threads + count - 1) / count, most = (c->rows + 11) / 12;
    return c->threads < 2 ? 1 : wanted < most ? wanted : most;
}

static int64_t scoring_jobs(const void *with, int64_t phase) {
    const scoring *c = with;
    int64_t chunk = chunk_of(c->rows, c->threads);
    return phase == MULTIPLY ? panels(c->m) * scoring_blocks(c) : (c->rows + chunk - 1) / chunk;
}

static void do_scoring(const void *with, int64_t phase, int64_t job) {
    const scoring *c = with;
    int64_t chunk = chunk_of(c->rows, c->threads), first = job * chunk;
    int64_t last = first + chunk < c->rows ? first + chunk : c->rows;
    if (phase == CONVERT) {
        if (c->m->kind != FLOAT) convert_rows(c, first, last);
    } else if (phase == CHOOSE) {
        for (int64_t row = first; row < last; row++) choose_row(c, row);
    } else {
        int64_t blocks = scoring_blocks(c), block = job % blocks;
        const void *in = c->m->kind == FLOAT ? (const void *)c->in : c->scratch;
        product p = {c->m, in, c->out, FLOAT, c->m->width * 4, AS_IS};
        product_panel(&p, job / blocks, c->rows * block / blocks, c->rows * (block + 1) / blocks);
    }
}

/* As `aegir_read`, for one matrix. */
API void aegir_score(scoring *c) { work(&c->crew, c->choices ? 3 : 2, scoring_jobs, do_scoring, NULL, c); }
