/* RWKV-7 on a processor, without gradients, and the gradient of its recurrence.
 *
 * Streams lie one after the other without padding: stream b has the rows offsets[b] … offsets[b + 1] of every
 * (M, D) array. All arithmetic but that of products is float32. What a stream becomes is computed from its own
 * rows only and in one fixed order, whatever else is in the batch.
 *
 * Vectors are GCC's, which Clang has too: 16 floats, whatever the processor's own width is.
 */
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>

typedef float vf __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));

#define LANES 16
#define BLOCK 16 /* tokens prepared at once: what they need stays in the first cache */
#define MOST 128 /* largest head */
#define MOST_BACK 64 /* largest head with gradients */
#ifdef __AVX512F__
#define WIDEST 4 /* vectors of a state's columns that stay in registers */
#else
#define WIDEST 2
#endif
#define INLINE static inline __attribute__((always_inline))
#define API __attribute__((visibility("default")))
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(NATIVE)
#define CLONES target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")
#define CLONED __attribute__((visibility("hidden"), noinline, CLONES))
#define API_CLONED __attribute__((visibility("default"), CLONES))
#else
#define CLONED __attribute__((visibility("hidden"), noinline))
#define API_CLONED API
#endif

INLINE vf load(const void *p, int64_t i, int half) {
    if (half) {
        vh h;
        memcpy(&h, (const uint16_t *)p + i, sizeof h);
        return (vf)(__builtin_convertvector(h, vu) << 16);
    }
    vf x;
    memcpy(&x, (const float *)p + i, sizeof x);
    return x;
}

INLINE vu rounded(vf x) { /* to bfloat16, ties to even, in the upper half of each word */
    vu u = (vu)x;
    return u + 0x7fff + ((u >> 16) & 1);
}

INLINE void store(void *p, int64_t i, int half, vf x) {
    if (half) {
        vh h = __builtin_convertvector(rounded(x) >> 16, vh);
        memcpy((uint16_t *)p + i, &h, sizeof h);
    } else {
        memcpy((float *)p + i, &x, sizeof x);
    }
}

INLINE vf at(const float *p, int64_t i) { return load(p, i, 0); }

INLINE float total(vf x) {
    float t[LANES];
    memcpy(t, &x, sizeof t);
    for (int s = LANES / 2; s; s /= 2)
        for (int i = 0; i < s; i++) t[i] += t[i + s];
    return t[0];
}

INLINE vf chosen(vu where, vf yes, vf no) { return (vf)(((vu)yes & where) | ((vu)no & ~where)); }

INLINE vf bounded(vf x, float low, float high) { /* not-a-number stays what it is */
    vf zero = {0}, l = zero + low, h = zero + high;
    x = chosen((vu)(x < l), l, x);
    return chosen((vu)(x > h), h, x);
}

INLINE vf exp16(vf x) { /* relative error 2e-7 from -86 to 86, constant beyond */
    const float magic = 12582912.0f; /* 1.5 · 2^23: what is added to it is rounded to an integer */
    x = bounded(x, -86.0f, 86.0f);
    vf t = x * 1.44269504f + magic, n = t - magic;
    vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (vf)((vu)p + ((vu)t << 23));
}

INLINE vf sigmoid(vf x) { return 1.0f / (1.0f + exp16(-x)); }

INLINE float root(float x) { /* of a positive number; no call that could set errno */
    return __builtin_sqrtf(x);
}

/* --- the recurrence -------------------------------------------------------------------------------------- */

/* What the recurrence takes and gives of a few tokens, all of one token together: r, w, k, v, a, b; y, and
 * what was read of the state before the token, u = Sᵀ a. */
enum { R, W, K, V, A, B, Y, U, PARTS };
typedef float block[BLOCK * PARTS * MOST];

INLINE float *part(float *x, int n, int t, int which) { return x + (t * PARTS + which) * n; }

/* `count` tokens of one head: S_t = (diag(w) + b aᵀ) S + k vᵀ, y = Sᵀ r, the state (n, n) in place.
 * Columns of the state do not depend on each other: `wide` vectors of them stay in registers. What the next
 * token removes is read while the state passes by. */
INLINE void walk_columns(float *restrict x, int n, int count, float *restrict state, int c, int wide) {
    const float *a = part(x, n, 0, A);
    vf u[WIDEST] = {{0}};
    for (int i = 0; i < n; i++)
        for (int j = 0; j < wide; j++) {
            const float *place = state + (int64_t)i * n + c + j * LANES;
            if (count == 1) __builtin_prefetch(place + n * n, 1); /* the next head's state comes from afar */
            u[j] += at(place, 0) * a[i];
        }
    for (int t = 0; t < count; t++) {
        const float *r = part(x, n, t, R), *w = part(x, n, t, W), *k = part(x, n, t, K);
        const float *b = part(x, n, t, B), *next = part(x, n, t + 1 < count ? t + 1 : t, A);
        vf v[WIDEST], y[WIDEST] = {{0}}, read[WIDEST] = {{0}};
        for (int j = 0; j < wide; j++) v[j] = at(part(x, n, t, V), c + j * LANES);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < wide; j++) {
                int64_t place = (int64_t)i * n + c + j * LANES;
                vf s = v[j] * k[i] + u[j] * b[i] + at(state, place) * w[i];
                y[j] += s * r[i];
                read[j] += s * next[i];
                store(state, place, 0, s);
            }
        for (int j = 0; j < wide; j++) {
            store(part(x, n, t, Y), c + j * LANES, 0, y[j]);
            store(part(x, n, t, U), c + j * LANES, 0, u[j]);
            u[j] = read[j];
        }
    }
}

INLINE void walk(float *x, int n, int count, float *state) {
    int c = 0;
    for (; c + WIDEST * LANES <= n; c += WIDEST * LANES) walk_columns(x, n, count, state, c, WIDEST);
    for (; c + 2 * LANES <= n; c += 2 * LANES) walk_columns(x, n, count, state, c, 2);
    if (c < n) walk_columns(x, n, count, state, c, 1);
}

INLINE void take(float *x, int n, int count, int64_t from, int64_t step, const float *const in[6]) {
    for (int t = 0; t < count; t++, from += step)
        for (int i = 0; i < n; i += LANES) {
            store(part(x, n, t, R), i, 0, at(in[0], from + i));
            store(part(x, n, t, W), i, 0, exp16(at(in[1], from + i)));
            store(part(x, n, t, K), i, 0, at(in[2], from + i));
            store(part(x, n, t, V), i, 0, at(in[3], from + i));
            store(part(x, n, t, A), i, 0, at(in[4], from + i));
            store(part(x, n, t, B), i, 0, at(in[5], from + i));
        }
}

/* How many blocks the streams before this one have; all streams are as long as the first. */
INLINE int64_t blocks(const int64_t *offsets, int64_t stream) {
    return (offsets[1] - offsets[0] + BLOCK - 1) / BLOCK * stream;
}

INLINE void wkv_heads(int64_t first, int64_t last, int64_t heads, int n, const int64_t *offsets,
                      const float *const in[6], float *state, float *y, float *u, float *saved) {
    block x;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t stream = unit / heads, head = unit % heads;
        for (int64_t row = offsets[stream]; row < offsets[stream + 1]; row += BLOCK) {
            int count = offsets[stream + 1] - row < BLOCK ? (int)(offsets[stream + 1] - row) : BLOCK;
            take(x, n, count, (row * heads + head) * n, heads * n, in);
            if (saved) {
                int64_t number = blocks(offsets, unit / heads) * heads + head;
                number += (row - offsets[stream]) / BLOCK * heads;
                memcpy(saved + number * n * n, state + unit * n * n, sizeof(float) * n * n);
            }
            walk(x, n, count, state + unit * n * n);
            for (int t = 0; t < count; t++) {
                int64_t to = ((row + t) * heads + head) * n;
                memcpy(y + to, part(x, n, t, Y), sizeof(float) * n);
                if (u) memcpy(u + to, part(x, n, t, U), sizeof(float) * n);
            }
        }
    }
}

/* The recurrence alone. in: r, log w, k, v, a, b, each (M, H, n) float32; state (B, H, n, n) in place;
 * y (M, H, n). u and saved: NULL, or what `aegir_wkv_back` needs. Does the units first … last of
 * stream · H + head. */
API_CLONED void aegir_wkv(int64_t first, int64_t last, int64_t heads, int64_t n, const int64_t *offsets,
                   const float *const in[6], float *state, float *y, float *u, float *saved) {
    switch (n) {
        case 32: wkv_heads(first, last, heads, 32, offsets, in, state, y, u, saved); break;
        case 64: wkv_heads(first, last, heads, 64, offsets, in, state, y, u, saved); break;
        default: wkv_heads(first, last, heads, (int)n, offsets, in, state, y, u, saved);
    }
}

/* --- its gradient ------------------------------------------------------------------------------------------- */

/* The block's states before each token, transposed (v, k), from the one before the block. */
INLINE void replay(float *x, int n, int count, const float *saved, float *states) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) states[j * n + i] = saved[i * n + j];
    for (int t = 0; t < count; t++) {
        const float *before = states + (int64_t)t * n * n, *u = part(x, n, t, U), *v = part(x, n, t, V);
        float *restrict after = states + (int64_t)(t + 1) * n * n;
        for (int i = 0; i < n; i += LANES) {
            vf w = at(part(x, n, t, W), i), k = at(part(x, n, t, K), i), b = at(part(x, n, t, B), i);
            for (int j = 0; j < n; j++)
                store(after, j * n + i, 0, k * v[j] + b * u[j] + at(before, j * n + i) * w);
        }
    }
}

/* The gradient g (k, v) of the state after token t, `gt` the same transposed, to that before it; writes what
 * the token's r, w, k, v, a, b get, over themselves. dy (n); states as `replay` leaves them. */
INLINE void back(float *x, int n, int t, const float *dy, const float *states, float *restrict g,
                 float *restrict gt) {
    float *r = part(x, n, t, R), *w = part(x, n, t, W), *k = part(x, n, t, K), *v = part(x, n, t, V);
    float *a = part(x, n, t, A), *b = part(x, n, t, B), *u = part(x, n, t, U);
    const float *before = states + (int64_t)t * n * n, *after = before + n * n;
    float dv[MOST_BACK], du[MOST_BACK];
    for (int j = 0; j < n; j += LANES) {
        vf to_v = {0}, to_u = {0}, said = at(dy, j);
        for (int i = 0; i < n; i++) {
            vf one = at(g, i * n + j) + said * r[i];
            to_v += one * k[i];
            to_u += one * b[i];
            store(g, i * n + j, 0, one);
        }
        for (int i = 0; i < n; i++) store(g, i * n + j, 0, at(g, i * n + j) * w[i] + to_u * a[i]);
        store(dv, j, 0, to_v);
        store(du, j, 0, to_u);
    }
    for (int i = 0; i < n; i += LANES) {
        vf to_r = {0}, to_w = {0}, to_k = {0}, to_a = {0}, to_b = {0};
        vf r_i = at(r, i), w_i = at(w, i), a_i = at(a, i);
        for (int j = 0; j < n; j++) {
            vf one = at(gt, j * n + i) + r_i * dy[j], state = at(before, j * n + i);
            to_r += at(after, j * n + i) * dy[j];
            to_w += one * state;
            to_k += one * v[j];
            to_b += one * u[j];
            to_a += state * du[j];
            store(gt, j * n + i, 0, one * w_i + a_i * du[j]);
        }
        store(r, i, 0, to_r);
        store(w, i, 0, to_w * w_i); /* of log w */
        store(k, i, 0, to_k);
        store(a, i, 0, to_a);
        store(b, i, 0, to_b);
    }
    memcpy(v, dv, sizeof(float) * n);
}

INLINE void back_heads(int64_t first, int64_t last, int64_t heads, int n, const int64_t *offsets,
                       const float *const in[6], const float *u, const float *saved, const float *dy,
                       float *dstate, float *const out[6]) {
    block x;
    float states[(BLOCK + 1) * MOST_BACK * MOST_BACK], gt[MOST_BACK * MOST_BACK];
    static const int which[6] = {R, W, K, V, A, B};
    for (int64_t unit = first; unit < last; unit++) {
        int64_t stream = unit / heads, head = unit % heads, length = offsets[stream + 1] - offsets[stream];
        float *g = dstate + unit * n * n;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) gt[j * n + i] = g[i * n + j];
        for (int64_t number = (length + BLOCK - 1) / BLOCK - 1; number >= 0; number--) {
            int64_t row = offsets[stream] + number * BLOCK, from = (row * heads + head) * n;
            int count = length - number * BLOCK < BLOCK ? (int)(length - number * BLOCK) : BLOCK;
            take(x, n, count, from, heads * n, in);
            for (int t = 0; t < count; t++)
                memcpy(part(x, n, t, U), u + from + t * heads * n, sizeof(float) * n);
            replay(x, n, count, saved + ((blocks(offsets, stream) + number) * heads + head) * n * n, states);
            for (int t = count - 1; t >= 0; t--) {
                back(x, n, t, dy + from + t * heads * n, states, g, gt);
                for (int i = 0; i < 6; i++)
                    memcpy(out[i] + from + t * heads * n, part(x, n, t, which[i]), sizeof(float) * n);
            }
        }
    }
}

/* Gradients of `aegir_wkv`, from those of y (dy) and of the state after it (dstate, which becomes that of the
 * state before). u and saved are what it wrote: (M, H, n), and (B, blocks, H, n, n) states before every 16th
 * token. All streams have one length; n up to 64. */
API_CLONED void aegir_wkv_back(int64_t first, int64_t last, int64_t heads, int64_t n, const int64_t *offsets,
                        const float *const in[6], const float *u, const float *saved, const float *dy,
                        float *dstate, float *const out[6]) {
    switch (n) {
        case 32: back_heads(first, last, heads, 32, offsets, in, u, saved, dy, dstate, out); break;
        case 64: back_heads(first, last, heads, 64, offsets, in, u, saved, dy, dstate, out); break;
        default: back_heads(first, last, heads, (int)n, offsets, in, u, saved, dy, dstate, out);
    }
}

#include "matrix.c"

/* --- the time mix between its projections ------------------------------------------------------------------ */

typedef struct {
    const float *r, *k, *v, *w, *a, *g; /* (M, D) products; w and a before their bias */
    const float *blend;                 /* (M, D) how much of v_first, before its bias; NULL in the first layer */
    const float *v_first;               /* (M, D) the value of the first layer */
    const float *w0, *a0, *v0, *k_k, *k_a, *r_k, *norm_weight, *norm_bias; /* (D) */
    float *state;                       /* (B, H, n, n) in place */
    void *out;                          /* (M, D) inputs of the output matrix; NULL: add nothing to the state */
    int64_t kind;                       /* of `out` */
} time_mix;

INLINE void prepare(const time_mix *m, float *x, int n, int64_t from, int64_t d, int t) {
    vf square = {0}, zero = {0};
    for (int i = 0; i < n; i += LANES) {
        vf k = at(m->k, from + i), v = at(m->v, from + i);
        vf rate = sigmoid(at(m->a0, d + i) + at(m->a, from + i));
        vf erase = k * at(m->k_k, d + i);
        square += erase * erase;
        if (m->blend) {
            vf share = sigmoid(at(m->v0, d + i) + at(m->blend, from + i));
            v += (at(m->v_first, from + i) - v) * share;
        }
        vf slow = sigmoid(at(m->w0, d + i) + at(m->w, from + i));
        store(part(x, n, t, R), i, 0, at(m->r, from + i));
        store(part(x, n, t, W), i, 0, exp16(slow * -0.606531f));
        k = k * (1.0f + (rate - 1.0f) * at(m->k_a, d + i));
        store(part(x, n, t, K), i, 0, m->out ? k : zero);
        store(part(x, n, t, V), i, 0, v);
        store(part(x, n, t, A), i, 0, erase);
        store(part(x, n, t, B), i, 0, rate);
    }
    float norm = root(total(square)), scale = 1.0f / (norm > 1e-12f ? norm : 1e-12f);
    for (int i = 0; i < n; i += LANES) {
        vf erase = at(part(x, n, t, A), i) * scale;
        store(part(x, n, t, B), i, 0, erase * at(part(x, n, t, B), i));
        store(part(x, n, t, A), i, 0, -erase);
    }
}

/* Normalise the head, add the current token's bonus, gate. */
INLINE void finish(const time_mix *m, float *x, int n, int64_t row, int64_t width, int64_t d, int t) {
    vf sum = {0}, bonus = {0}, square = {0}, y[MOST_WIDE] = {{0}};
    for (int i = 0; i < n; i += LANES) {
        sum += at(part(x, n, t, Y), i);
        bonus += at(part(x, n, t, R), i) * at(part(x, n, t, K), i) * at(m->r_k, d + i);
    }
    float mean = total(sum) / n, gain = total(bonus);
    for (int i = 0; i < n; i += LANES) {
        vf apart = at(part(x, n, t, Y), i) - mean;
        square += apart * apart;
    }
    float scale = 1.0f / root(total(square) / n + 64e-5f);
    for (int from = 0; from < n; from += GROUP) {
        int wide = n - from < GROUP ? (n - from) / LANES : MOST_WIDE;
        for (int v = 0; v < wide; v++) {
            int i = from + v * LANES;
            y[v] = (at(part(x, n, t, Y), i) - mean) * scale * at(m->norm_weight, d + i) + at(m->norm_bias, d + i);
            y[v] = (y[v] + gain * at(part(x, n, t, V), i)) * at(m->g, row * width + d + i);
        }
        put((char *)m->out + row * row_bytes(m->kind, width), m->kind, d + from, width, y, wide);
    }
}

INLINE void mix_head(int64_t unit, int64_t heads, int n, const int64_t *offsets, const time_mix *m) {
    block x;
    int64_t stream = unit / heads, d = unit % heads * n, width = heads * n;
    for (int64_t row = offsets[stream]; row < offsets[stream + 1]; row += BLOCK) {
        int count = offsets[stream + 1] - row < BLOCK ? (int)(offsets[stream + 1] - row) : BLOCK;
        for (int t = 0; t < count; t++) prepare(m, x, n, (row + t) * width + d, d, t);
        walk(x, n, count, m->state + unit * n * n);
        for (int t = 0; t < count && m->out; t++) finish(m, x, n, row + t, width, d, t);
    }
}

/* From the projections to what the output matrix takes, for the units first … last of stream · H + head. */
CLONED void mix_units(int64_t first, int64_t last, int64_t heads, int64_t n, const int64_t *offsets,
                      const time_mix *m) {
    for (int64_t unit = first; unit < last; unit++) switch (n) {
            case 32: mix_head(unit, heads, 32, offsets, m); break;
            case 64: mix_head(unit, heads, 64, offsets, m); break;
            default: mix_head(unit, heads, (int)n, offsets, m);
        }
}

#include "crew.c"
#include "layers.c"
#include "scores.c"

/* Of what the functions take; `library.py` refuses another one. */
API int64_t aegir_revision(void) { return 3; }
