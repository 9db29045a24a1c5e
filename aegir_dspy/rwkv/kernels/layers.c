/* All layers of an RWKV-7 model over the tokens of many streams, by any number of threads.
 *
 * Rows and offsets: see rwkv7.c.
 */

/* Everything of one layer; vectors are (D) float32. Matrices that are not there have no weights. */
typedef struct {
    matrix r, k, v, o, w1, w2, a1, a2, v1, v2, g1, g2, key, value;
    const float *norm1[2], *norm2[2]; /* weight, bias */
    const float *x_r, *x_w, *x_k, *x_v, *x_a, *x_g, *w0, *a0, *v0, *k_k, *k_a, *r_k, *norm_head[2], *x_ffn;
} layer;

typedef struct {
    int64_t layers, width, heads, ffn, vocab;
    const layer *layer;
    const float *embedding; /* (V, D), normalised */
    const float *norm_out[2];
} network;

typedef struct {
    const network *net;
    int64_t rows, streams, threads;
    const int64_t *offsets; /* (streams + 1) */
    const int64_t *tokens;  /* (rows), or NULL: then `x` is what the first layer reads */
    const float *x;         /* (rows, D) */
    float *shift;           /* (L, 2, streams, D) in place, with the strides of L and 2 */
    float *kv;              /* (L, streams, H, n, n) in place, with the stride of L */
    float *maps;            /* (L, streams, H, n, n) or NULL: in place, what becomes of it with nothing added */
    float *hidden;          /* (rows, D) */
    char *scratch;          /* `aegir_scratch` bytes */
    int64_t shift_stride[2], kv_stride;
    int64_t wrong;          /* becomes 1 when a token is none of the vocabulary */
    crew crew;
} reading;

/* Where things lie between phases; all (rows, …). */
typedef struct {
    float *x[2], *add, *v_first, *r, *k, *v, *w, *a, *g, *blend, *last;
    void *in_r, *in_k, *in_v, *in_w, *in_a, *in_v1, *in_g, *low_w, *low_a, *low_v, *low_g, *out, *in_ffn, *mid;
} places;

enum { SHIFT, PROJECT, RAISE, RECUR, OUTPUT, SHIFT_FFN, KEY, VALUE, PHASES };

INLINE void *taken(char **free, int64_t bytes) {
    char *found = *free;
    *free += (bytes + 63) / 64 * 64;
    return found;
}

/* Lay out the scratch; returns its bytes. */
static int64_t place(const network *net, int64_t rows, int64_t streams, char *base, places *p) {
    const layer *l = net->layer + net->layers - 1; /* the first one has no v1 */
    int64_t floats = rows * net->width * 4;
    char *free = base;
    for (int i = 0; i < 2; i++) p->x[i] = taken(&free, floats);
    p->add = taken(&free, floats);
    p->v_first = taken(&free, floats);
    p->last = taken(&free, streams * net->width * 4);
    p->out = taken(&free, rows * row_bytes(l->o.kind, net->width));
    char *again = free; /* the feed-forward's numbers lie where the time mix's were */
    p->in_ffn = taken(&free, rows * row_bytes(l->key.kind, net->width));
    p->mid = taken(&free, rows * row_bytes(l->value.kind, net->ffn));
    char *end = free;
    free = again;
    float **wide[] = {&p->r, &p->k, &p->v, &p->w, &p->a, &p->g, &p->blend};
    for (int i = 0; i < 7; i++) *wide[i] = taken(&free, floats);
    void **in[] = {&p->in_r, &p->in_k, &p->in_v, &p->in_w, &p->in_a, &p->in_v1, &p->in_g};
    const matrix *m[] = {&l->r, &l->k, &l->v, &l->w1, &l->a1, &l->v1, &l->g1};
    for (int i = 0; i < 7; i++) *in[i] = taken(&free, rows * row_bytes(m[i]->kind, net->width));
    void **low[] = {&p->low_w, &p->low_a, &p->low_v, &p->low_g};
    const matrix *up[] = {&l->w2, &l->a2, &l->v2, &l->g2};
    for (int i = 0; i < 4; i++) *low[i] = taken(&free, rows * row_bytes(up[i]->kind, up[i]->depth));
    return (free > end ? free : end) - base;
}

/* Bytes of scratch that so many rows need. */
API int64_t aegir_scratch(const network *net, int64_t rows, int64_t streams) {
    places p;
    return place(net, rows, streams, NULL, &p);
}

/* --- residual, norm, token shift ---------------------------------------------------------------------------- */

/* out ← the norm of x + add, sum ← x + add; add and sum may be NULL. */
INLINE void normal(const float *x, const float *add, const float *const norm[2], int64_t width, float *sum,
                   float *out) {
    vf first = {0}, square = {0};
    for (int64_t i = 0; i < width; i += LANES) {
        vf one = at(x, i);
        if (add) one += at(add, i);
        if (sum) store(sum, i, 0, one);
        store(out, i, 0, one);
        first += one;
    }
    float mean = total(first) / width;
    for (int64_t i = 0; i < width; i += LANES) {
        vf apart = at(out, i) - mean;
        square += apart * apart;
    }
    float scale = 1.0f / root(total(square) / width + 1e-5f);
    for (int64_t i = 0; i < width; i += LANES)
        store(out, i, 0, (at(out, i) - mean) * scale * at(norm[0], i) + at(norm[1], i));
}

INLINE int64_t stream_of(const reading *c, int64_t row) { /* the one with this row */
    int64_t low = 0, high = c->streams;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (c->offsets[middle] <= row) low = middle;
        else high = middle;
    }
    return low;
}

typedef struct {
    const float *mix;
    void *out;
    int64_t kind;
} blend_to;

typedef struct {
    const float *x, *add, *const *norm;
    float *sum, *past; /* past (streams, D): the normalised token before each stream's first; then its last */
    float *last;       /* (streams, D): what `past` is to become where a stream began in an earlier job */
    const blend_to *to;
    int64_t outputs, stride; /* stride of past */
} shift_job;

/* Add to the residual stream, normalise, mix with the token before in several ways. */
CLONED void shift_rows(const reading *c, const shift_job *s, int64_t first, int64_t last, float *one, float *two) {
    int64_t width = c->net->width, stream = stream_of(c, first);
    float *now = one, *before = two;
    if (first > c->offsets[stream]) {
        const float *add = s->add ? s->add + (first - 1) * width : NULL;
        normal(s->x + (first - 1) * width, add, s->norm, width, NULL, before);
    }
    for (int64_t row = first; row < last; row++) {
        while (row >= c->offsets[stream + 1]) stream++;
        if (row == c->offsets[stream]) memcpy(before, s->past + stream * s->stride, width * 4);
        normal(s->x + row * width, s->add ? s->add + row * width : NULL, s->norm, width, s->sum + row * width, now);
        for (int64_t i = 0; i < width; i += GROUP) {
            int wide = width - i < GROUP ? (int)(width - i) / LANES : MOST_WIDE;
            vf x[MOST_WIDE], apart[MOST_WIDE], mixed[MOST_WIDE];
            for (int v = 0; v < wide; v++) {
                x[v] = at(now, i + v * LANES);
                apart[v] = at(before, i + v * LANES) - x[v];
            }
            for (int64_t j = 0; j < s->outputs; j++) {
                const blend_to *to = s->to + j;
                for (int v = 0; v < wide; v++) mixed[v] = x[v] + apart[v] * at(to->mix, i + v * LANES);
                put((char *)to->out + row * row_bytes(to->kind, width), to->kind, i, width, mixed, wide);
            }
        }
        if (row + 1 == c->offsets[stream + 1]) {
            int whole = c->offsets[stream] >= first; /* who reads `past` is here too */
            memcpy(whole ? s->past + stream * s->stride : s->last + stream * width, now, width * 4);
        }
        float *other = now;
        now = before;
        before = other;
    }
}

/* --- phases -------------------------------------------------------------------------------------------------- */

typedef struct {
    reading *c;
    places p;
    int64_t jobs[2][PHASES]; /* of the first layer, of all others */
    int64_t chunk;           /* rows of a job that is not a product */
} state_of_work;

INLINE int64_t chunks(const state_of_work *s) { return (s->c->rows + s->chunk - 1) / s->chunk; }

INLINE product to_floats(const matrix *m, const void *in, float *out) {
    return (product){m, in, out, FLOAT, m->width * 4, AS_IS};
}

INLINE product to_inputs(const matrix *m, const void *in, void *out, const matrix *next, int64_t after) {
    return (product){m, in, out, next->kind, row_bytes(next->kind, next->depth), after};
}

/* The products of a phase; their number. */
static int products(const state_of_work *s, int64_t number, int64_t phase, product *to) {
    const layer *l = s->c->net->layer + number;
    const places *p = &s->p;
    int count = 0;
    switch (phase) {
        case PROJECT:
            to[count++] = to_floats(&l->r, p->in_r, p->r);
            to[count++] = to_floats(&l->k, p->in_k, p->k);
            to[count++] = to_floats(&l->v, p->in_v, number ? p->v : p->v_first);
            to[count++] = to_inputs(&l->w1, p->in_w, p->low_w, &l->w2, TANH);
            to[count++] = to_inputs(&l->a1, p->in_a, p->low_a, &l->a2, AS_IS);
            to[count++] = to_inputs(&l->g1, p->in_g, p->low_g, &l->g2, SIGMOID);
            if (number) to[count++] = to_inputs(&l->v1, p->in_v1, p->low_v, &l->v2, AS_IS);
            break;
        case RAISE:
            to[count++] = to_floats(&l->w2, p->low_w, p->w);
            to[count++] = to_floats(&l->a2, p->low_a, p->a);
            to[count++] = to_floats(&l->g2, p->low_g, p->g);
            if (number) to[count++] = to_floats(&l->v2, p->low_v, p->blend);
            break;
        case OUTPUT: to[count++] = to_floats(&l->o, p->out, p->add); break;
        case KEY: to[count++] = to_inputs(&l->key, p->in_ffn, p->mid, &l->value, SQUARE_RELU); break;
        case VALUE: to[count++] = to_floats(&l->value, p->mid, p->add); break;
    }
    return count;
}

/* Into how many blocks of rows the panels of a phase are cut, so that every thread gets some. */
INLINE int64_t cut(const state_of_work *s, int64_t count) {
    int64_t wanted = (4 * s->c->threads + count - 1) / count, most = (s->c->rows + 11) / 12;
    return s->c->threads < 2 ? 1 : wanted < most ? wanted : most;
}

static int64_t all_panels(const product *to, int count) {
    int64_t sum = 0;
    for (int i = 0; i < count; i++) sum += panels(to[i].m);
    return sum;
}

static int64_t count_jobs(const state_of_work *s, int64_t number, int64_t phase) {
    product to[8];
    if (phase == SHIFT || phase == SHIFT_FFN) return chunks(s);
    if (phase == RECUR) {
        int64_t units = s->c->streams * s->c->net->heads, most = 8 * s->c->threads;
        return units < most ? units : most;
    }
    int64_t count = all_panels(to, products(s, number, phase, to));
    return count * cut(s, count);
}

static void do_product(const state_of_work *s, int64_t number, int64_t phase, int64_t job) {
    product to[8];
    int count = products(s, number, phase, to);
    int64_t blocks = cut(s, all_panels(to, count)), block = job % blocks, panel = job / blocks, rows = s->c->rows;
    for (int i = 0; i < count; panel -= panels(to[i].m), i++)
        if (panel < panels(to[i].m)) {
            product_panel(to + i, panel, rows * block / blocks, rows * (block + 1) / blocks);
            return;
        }
}

static void fill_shift(const state_of_work *s, int64_t number, int64_t phase, shift_job *job, blend_to *to) {
    const reading *c = s->c;
    const layer *l = c->net->layer + number;
    const places *p = &s->p;
    int second = phase == SHIFT_FFN;
    *job = (shift_job){
        p->x[second], number || second ? p->add : NULL, second ? l->norm2 : l->norm1, p->x[!second],
        c->shift + number * c->shift_stride[0] + second * c->shift_stride[1], p->last, to, 0, c->net->width};
    if (second) {
        to[job->outputs++] = (blend_to){l->x_ffn, p->in_ffn, l->key.kind};
        return;
    }
    to[job->outputs++] = (blend_to){l->x_r, p->in_r, l->r.kind};
    to[job->outputs++] = (blend_to){l->x_k, p->in_k, l->k.kind};
    to[job->outputs++] = (blend_to){l->x_v, p->in_v, l->v.kind};
    to[job->outputs++] = (blend_to){l->x_w, p->in_w, l->w1.kind};
    to[job->outputs++] = (blend_to){l->x_a, p->in_a, l->a1.kind};
    to[job->outputs++] = (blend_to){l->x_g, p->in_g, l->g1.kind};
    if (number) to[job->outputs++] = (blend_to){l->x_v, p->in_v1, l->v1.kind};
}

static void do_shift(const state_of_work *s, int64_t number, int64_t phase, int64_t job) {
    shift_job what;
    blend_to to[7];
    float buffers[2][s->c->net->width];
    int64_t first = job * s->chunk, last = first + s->chunk < s->c->rows ? first + s->chunk : s->c->rows;
    fill_shift(s, number, phase, &what, to);
    shift_rows(s->c, &what, first, last, buffers[0], buffers[1]);
}

/* Streams that lie in several jobs: nobody reads what was before them any more. */
static void end_shift(const state_of_work *s, int64_t number, int64_t phase) {
    shift_job what;
    blend_to to[7];
    fill_shift(s, number, phase, &what, to);
    for (int64_t row = s->chunk; row < s->c->rows; row += s->chunk) {
        int64_t stream = stream_of(s->c, row), width = s->c->net->width;
        if (s->c->offsets[stream] < row)
            memcpy(what.past + stream * what.stride, what.last + stream * width, width * 4);
    }
}

static void do_recurrence(const state_of_work *s, int64_t number, int64_t job) {
    const reading *c = s->c;
    int64_t heads = c->net->heads, units = c->streams * heads, jobs = s->jobs[number > 0][RECUR];
    int64_t first = units * job / jobs, last = units * (job + 1) / jobs;
    const layer *l = c->net->layer + number;
    const places *p = &s->p;
    time_mix m = {
        p->r, p->k, number ? p->v : p->v_first, p->w, p->a, p->g, number ? p->blend : NULL, p->v_first,
        l->w0, l->a0, l->v0, l->k_k, l->k_a, l->r_k, l->norm_head[0], l->norm_head[1], NULL, NULL, l->o.kind};
    int64_t n = c->net->width / heads;
    if (c->maps) {
        m.state = c->maps + number * units * n * n;
        mix_units(first, last, heads, n, c->offsets, &m);
    }
    m.state = c->kv + number * c->kv_stride;
    m.out = p->out;
    mix_units(first, last, heads, n, c->offsets, &m);
}

static void do_embed(const state_of_work *s, int64_t job) {
    const reading *c = s->c;
    int64_t first = job * s->chunk, last = first + s->chunk < c->rows ? first + s->chunk : c->rows;
    int64_t width = c->net->width;
    for (int64_t row = first; row < last; row++) {
        int64_t token = c->tokens ? c->tokens[row] : 0;
        if (token < 0 || token >= c->net->vocab) {
            __atomic_store_n(&s->c->wrong, 1, __ATOMIC_RELAXED);
            token = 0;
        }
        const float *x = c->tokens ? c->net->embedding + token * width : c->x + row * width;
        memcpy(s->p.x[0] + row * width, x, width * 4);
    }
}

CLONED void last_norm(const reading *c, const places *p, int64_t first, int64_t last) {
    int64_t width = c->net->width;
    for (int64_t row = first; row < last; row++)
        normal(p->x[0] + row * width, p->add + row * width, c->net->norm_out, width, NULL, c->hidden + row * width);
}

/* Phase 0 embeds, the last one is the last norm. */
static int64_t jobs_of(const void *state, int64_t phase) {
    const state_of_work *s = state;
    int64_t inner = phase - 1;
    if (phase == 0 || inner == s->c->net->layers * PHASES) return chunks(s);
    return s->jobs[inner >= PHASES][inner % PHASES];
}

static void do_job(const void *state, int64_t phase, int64_t job) {
    const state_of_work *s = state;
    int64_t number = (phase - 1) / PHASES, inner = (phase - 1) % PHASES;
    int64_t first = job * s->chunk, last = first + s->chunk < s->c->rows ? first + s->chunk : s->c->rows;
    if (phase == 0) do_embed(s, job);
    else if (number == s->c->net->layers) last_norm(s->c, &s->p, first, last);
    else if (inner == SHIFT || inner == SHIFT_FFN) do_shift(s, number, inner, job);
    else if (inner == RECUR) do_recurrence(s, number, job);
    else do_product(s, number, inner, job);
}

static void end_phase(const void *state, int64_t phase) {
    const state_of_work *s = state;
    int64_t number = (phase - 1) / PHASES, inner = (phase - 1) % PHASES;
    if (phase && number < s->c->net->layers && (inner == SHIFT || inner == SHIFT_FFN)) end_shift(s, number, inner);
}


/* Read `rows` tokens, at least one. Called by any number of threads at once with the same `c`, whose crew is zero at first;
 * returns when all is done. */
API void aegir_read(reading *c) {
    state_of_work s = {.c = c, .chunk = chunk_of(c->rows, c->threads)};
    place(c->net, c->rows, c->streams, c->scratch, &s.p);
    for (int64_t phase = 0; phase < PHASES; phase++)
        for (int64_t number = 0; number < 2; number++)
            if (number < c->net->layers) s.jobs[number][phase] = count_jobs(&s, number, phase);
    work(&c->crew, c->net->layers * PHASES + 2, jobs_of, do_job, end_phase, &s);
}
