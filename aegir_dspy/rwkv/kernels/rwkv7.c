/* What surrounds the matrix products of an RWKV-7 layer, on a processor.
 *
 * Streams lie one after the other without padding: stream b has the rows offsets[b] … offsets[b + 1] of every
 * (M, D) array. Rows are float32, or bfloat16 (`half` = 1); all arithmetic is float32. What a stream becomes
 * is computed from its own rows only and in one fixed order, whatever else is in the batch.
 *
 * Vectors are GCC's, which Clang has too: 16 floats, whatever the processor's own width is.
 */
#include <stdint.h>
#include <string.h>

typedef float vf __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));

#define LANES 16
#define BLOCK 16 /* tokens prepared at once: what they need stays in the first cache */
#define MOST 128 /* largest head */
#define MOST_BACK 64 /* largest head with gradients */
#define INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(NATIVE)
#define API __attribute__((visibility("default"), \
                           target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define API __attribute__((visibility("default")))
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
    vf u[2] = {{0}, {0}};
    for (int i = 0; i < n; i++)
        for (int j = 0; j < wide; j++) u[j] += at(state, (int64_t)i * n + c + j * LANES) * a[i];
    for (int t = 0; t < count; t++) {
        const float *r = part(x, n, t, R), *w = part(x, n, t, W), *k = part(x, n, t, K);
        const float *b = part(x, n, t, B), *next = part(x, n, t + 1 < count ? t + 1 : t, A);
        vf v[2], y[2] = {{0}, {0}}, read[2] = {{0}, {0}};
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
API void aegir_wkv(int64_t first, int64_t last, int64_t heads, int64_t n, const int64_t *offsets,
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
API void aegir_wkv_back(int64_t first, int64_t last, int64_t heads, int64_t n, const int64_t *offsets,
                        const float *const in[6], const float *u, const float *saved, const float *dy,
                        float *dstate, float *const out[6]) {
    switch (n) {
        case 32: back_heads(first, last, heads, 32, offsets, in, u, saved, dy, dstate, out); break;
        case 64: back_heads(first, last, heads, 64, offsets, in, u, saved, dy, dstate, out); break;
        default: back_heads(first, last, heads, (int)n, offsets, in, u, saved, dy, dstate, out);
    }
}

/* --- the time mix between its projections ------------------------------------------------------------------ */

typedef struct {
    const void *r, *k, *v, *w, *a, *g; /* (M, D) products; w and a before their bias */
    const void *blend;                 /* (M, D) how much of v_first, before its bias; NULL in the first layer */
    const void *v_first;               /* (M, D) the value of the first layer */
    const float *w0, *a0, *v0, *k_k, *k_a, *r_k, *norm_weight, *norm_bias; /* (D) */
    float *state;                      /* (B, H, n, n) in place */
    void *out;                         /* (M, D); NULL: add nothing to the state, only erase and decay */
} time_mix;

INLINE void prepare(const time_mix *m, float *x, int n, int64_t from, int64_t d, int t, int half) {
    vf square = {0}, zero = {0};
    for (int i = 0; i < n; i += LANES) {
        vf k = load(m->k, from + i, half), v = load(m->v, from + i, half);
        vf rate = sigmoid(at(m->a0, d + i) + load(m->a, from + i, half));
        vf erase = k * at(m->k_k, d + i);
        square += erase * erase;
        if (m->blend) {
            vf share = sigmoid(at(m->v0, d + i) + load(m->blend, from + i, half));
            v += (load(m->v_first, from + i, half) - v) * share;
        }
        vf slow = sigmoid(at(m->w0, d + i) + load(m->w, from + i, half));
        store(part(x, n, t, R), i, 0, load(m->r, from + i, half));
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
INLINE void finish(const time_mix *m, float *x, int n, int64_t from, int64_t d, int t, int half) {
    vf sum = {0}, bonus = {0}, square = {0};
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
    for (int i = 0; i < n; i += LANES) {
        vf y = (at(part(x, n, t, Y), i) - mean) * scale * at(m->norm_weight, d + i) + at(m->norm_bias, d + i);
        y += gain * at(part(x, n, t, V), i);
        store(m->out, from + i, half, y * load(m->g, from + i, half));
    }
}

INLINE void mix_heads(int64_t first, int64_t last, int64_t heads, int n, const int64_t *offsets,
                      const time_mix *m, int half) {
    block x;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t stream = unit / heads, d = unit % heads * n;
        for (int64_t row = offsets[stream]; row < offsets[stream + 1]; row += BLOCK) {
            int count = offsets[stream + 1] - row < BLOCK ? (int)(offsets[stream + 1] - row) : BLOCK;
            int64_t from = row * heads * n + d, step = heads * n;
            for (int t = 0; t < count; t++) prepare(m, x, n, from + t * step, d, t, half);
            walk(x, n, count, m->state + unit * n * n);
            for (int t = 0; t < count && m->out; t++) finish(m, x, n, from + t * step, d, t, half);
        }
    }
}

/* From the projections to what the output matrix takes. Does the units first … last of stream · H + head. */
API void aegir_time_mix(int64_t half, int64_t first, int64_t last, int64_t heads, int64_t n,
                        const int64_t *offsets, const time_mix *m) {
    switch (n * 2 + half) {
        case 64: mix_heads(first, last, heads, 32, offsets, m, 0); break;
        case 65: mix_heads(first, last, heads, 32, offsets, m, 1); break;
        case 128: mix_heads(first, last, heads, 64, offsets, m, 0); break;
        case 129: mix_heads(first, last, heads, 64, offsets, m, 1); break;
        default:
            if (half) mix_heads(first, last, heads, (int)n, offsets, m, 1);
            else mix_heads(first, last, heads, (int)n, offsets, m, 0);
    }
}

/* --- residual, norm, token shift -------------------------------------------------------------------------- */

typedef struct {
    float *x;                      /* (M, D) the residual stream, `add` is added in place */
    const void *add;               /* (M, D) or NULL */
    const float *weight, *bias;    /* (D) of the norm */
    const float *mix[6];           /* (D) each: how much of the token before goes into each output */
    void *out[6];                  /* (M, D) each */
    float *past;                   /* (B, D) the normalised token before each stream's first; then its last */
    int64_t outputs, width;
} shift_mix;

INLINE void shift_streams(int64_t first, int64_t last, const int64_t *offsets, const shift_mix *m, int half) {
    int64_t width = m->width;
    for (int64_t stream = first; stream < last; stream++) {
        float *past = m->past + stream * width;
        for (int64_t row = offsets[stream]; row < offsets[stream + 1]; row++) {
            float *x = m->x + row * width;
            vf sum = {0}, square = {0};
            for (int64_t i = 0; i < width; i += LANES) {
                vf one = at(x, i);
                if (m->add) store(x, i, 0, one += load(m->add, row * width + i, half));
                sum += one;
            }
            float mean = total(sum) / width;
            for (int64_t i = 0; i < width; i += LANES) {
                vf apart = at(x, i) - mean;
                square += apart * apart;
            }
            float scale = 1.0f / root(total(square) / width + 1e-5f);
            for (int64_t i = 0; i < width; i += LANES) {
                vf now = (at(x, i) - mean) * scale * at(m->weight, i) + at(m->bias, i);
                if (half) now = (vf)(rounded(now) & 0xffff0000u);
                vf delta = at(past, i) - now;
                store(past, i, 0, now);
                for (int64_t j = 0; j < m->outputs; j++)
                    store(m->out[j], row * width + i, half, now + delta * at(m->mix[j], i));
            }
        }
    }
}

/* Add, normalise, mix with the token before. Does the streams first … last. */
API void aegir_shift_mix(int64_t half, int64_t first, int64_t last, const int64_t *offsets,
                         const shift_mix *m) {
    if (half) shift_streams(first, last, offsets, m, 1);
    else shift_streams(first, last, offsets, m, 0);
}

/* Of what the functions take; `library.py` refuses another one. */
API int64_t aegir_revision(void) { return 2; }

/* x ← max(x, 0)² for `count` numbers, a multiple of 16. */
API void aegir_square_relu(int64_t half, int64_t count, void *x) {
    for (int64_t i = 0; i < count; i += LANES) {
        vf one = load(x, i, (int)half), zero = {0};
        one = chosen((vu)(one < zero), zero, one);
        store(x, i, (int)half, one * one);
    }
}
