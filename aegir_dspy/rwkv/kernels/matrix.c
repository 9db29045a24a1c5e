/* Products of rows with a packed matrix: every weight is read once from memory, whatever the number of rows.
 *
 * Weights lie in panels of 64 output columns, then of 16: all of a panel's weights one after the other, as
 * (depth / some, columns, some), with as many together as are multiplied in one instruction. A result is summed up in the order of the depth, in its own register, so it
 * does not depend on how many rows there are nor on which thread computes it.
 *
 * kind     weights    inputs
 * FLOAT    float32    float32, one
 * HALF     bfloat16   bfloat16, two
 * BYTE     int8       int8, four; every 64 columns have a scale, and their products are summed up exactly
 *
 * int8 weights are kept as w + 128, because processors multiply bytes of which one has no sign; what that adds
 * to a sum, 128 times the inputs' sum, lies beside the inputs' scale.
 */
enum { FLOAT, HALF, BYTE };
enum { PLAIN, AVX2, AVX512, AVX512_BF16_VNNI }; /* which instructions are used */
enum { AS_IS, TANH, SIGMOID, SQUARE_RELU };

#define PANEL 64
#define GROUP 64     /* columns of an int8 input with one scale */
#define STRETCH 32   /* float32 products that are summed up by themselves */
#define MOST_ROWS 6  /* of a tile */
#define MOST_WIDE 4  /* vectors of a panel */

typedef struct {
    const void *weights;
    const float *scales; /* BYTE: (width), what a column is multiplied by */
    int64_t kind, depth, width; /* inputs; outputs, a multiple of 16 */
} matrix;

typedef int32_t vi __attribute__((vector_size(64)));
typedef uint8_t vb __attribute__((vector_size(16)));

INLINE int64_t weight_bytes(int64_t kind) { return kind == FLOAT ? 4 : kind == HALF ? 2 : 1; }

/* What lies behind the int8 numbers of a row, for every 64 of them. */
typedef struct {
    float scale;
    int32_t start; /* of a sum: -128 · Σ of the numbers */
} group;

/* Of one row of inputs. */
INLINE int64_t row_bytes(int64_t kind, int64_t depth) {
    if (kind == BYTE) return depth + depth / GROUP * (int64_t)sizeof(group);
    return kind == FLOAT ? 4 * depth : 2 * depth;
}

INLINE float largest(vf x) {
    float t[LANES];
    memcpy(t, &x, sizeof t);
    for (int s = LANES / 2; s; s /= 2)
        for (int i = 0; i < s; i++) t[i] = t[i] > t[i + s] ? t[i] : t[i + s];
    return t[0];
}

/* Write 64 numbers as int8 with a scale; what is not finite makes the scale not-a-number. */
INLINE void put_scaled(void *row, int64_t column, int64_t depth, const vf *x) {
    const float magic = 12582912.0f; /* 1.5 · 2^23: what is added to it is rounded to an integer */
    const vf zero = {0};
    vf most = zero, bad = zero, sum = zero;
    for (int v = 0; v < MOST_WIDE; v++) {
        vf size = (vf)((vu)x[v] & 0x7fffffffu);
        most = chosen((vu)(size > most), size, most);
        bad += x[v] - x[v];
    }
    float scale = largest(most) / 127.0f, inverse = scale > 1e-30f ? 1.0f / scale : 0.0f;
    for (int v = 0; v < MOST_WIDE; v++) {
        vf whole = x[v] * inverse + magic; /* the integer is in the lower bits */
        sum += whole - magic;
        vb low = __builtin_convertvector((vu)whole & 0xffu, vb);
        memcpy((char *)row + column + v * LANES, &low, sizeof low);
    }
    group g = {scale + total(bad), 0};
    if (g.scale == g.scale) g.start = -128 * (int32_t)total(sum);
    memcpy((char *)row + depth + column / GROUP * sizeof g, &g, sizeof g);
}

/* Write `wide` vectors of inputs of a matrix. */
INLINE void put(void *row, int64_t kind, int64_t column, int64_t depth, const vf *x, int wide) {
    if (kind == BYTE) {
        put_scaled(row, column, depth, x);
    } else {
        for (int v = 0; v < wide; v++) store(row, column + v * LANES, kind == HALF, x[v]);
    }
}

/* --- tiles: some rows times one panel ----------------------------------------------------------------------- */

/* rows · weights, (rows, wide · 16) sums to c[6][4]; `step` vectors at once are in registers. */
INLINE void tile_float(const char *w, int64_t depth, const char *in, int64_t stride, int rows, int wide,
                       int step, vf *c) {
    memset(c, 0, sizeof(vf) * MOST_ROWS * MOST_WIDE);
    for (int from = 0; from < wide; from += step)
        for (int64_t first = 0; first < depth; first += STRETCH) { /* sums of sums round less */
            vf sum[MOST_ROWS][MOST_WIDE] = {{{0}}};
            int64_t last = first + STRETCH < depth ? first + STRETCH : depth;
            for (int64_t k = first; k < last; k++) {
                const float *weight = (const float *)w + (k * wide + from) * LANES;
                for (int j = 0; j < step; j++) {
                    vf one = at(weight, j * LANES);
                    for (int r = 0; r < rows; r++) sum[r][j] += one * ((const float *)(in + r * stride))[k];
                }
            }
            for (int r = 0; r < rows; r++)
                for (int j = 0; j < step; j++) c[r * MOST_WIDE + from + j] += sum[r][j];
        }
}

INLINE void tile_half(const char *w, int64_t depth, const char *in, int64_t stride, int rows, int wide,
                      int step, vf *c) {
    for (int from = 0; from < wide; from += step) {
        vf sum[MOST_ROWS][MOST_WIDE] = {{{0}}};
        for (int64_t k = 0; k < depth / 2; k++)
            for (int j = 0; j < step; j++) {
                vu both;
                memcpy(&both, w + ((k * wide + from + j) * LANES) * 4, sizeof both);
                vf first = (vf)(both << 16), second = (vf)(both & 0xffff0000u);
                for (int r = 0; r < rows; r++) {
                    uint32_t pair;
                    float one, two;
                    memcpy(&pair, in + r * stride + k * 4, 4);
                    uint32_t low = pair << 16, high = pair & 0xffff0000u;
                    memcpy(&one, &low, 4);
                    memcpy(&two, &high, 4);
                    sum[r][j] += first * one;
                    sum[r][j] += second * two;
                }
            }
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < step; j++) c[r * MOST_WIDE + from + j] = sum[r][j];
    }
}

INLINE group group_of(const char *row, int64_t depth, int64_t k) {
    group g;
    memcpy(&g, row + depth + k / GROUP * sizeof g, sizeof g);
    return g;
}

INLINE void tile_byte(const char *w, int64_t depth, const char *in, int64_t stride, int rows, int wide,
                      int step, vf *c) {
    (void)step;
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < wide; j++) {
            const char *row = in + r * stride;
            vf sum = {0};
            for (int64_t k = 0; k < depth; k += GROUP) {
                group g = group_of(row, depth, k);
                vi whole = (vi){0} + g.start;
                for (int64_t i = k; i < k + GROUP; i++) {
                    const uint8_t *weight = (const uint8_t *)w + (i / 4 * wide + j) * LANES * 4 + i % 4;
                    for (int o = 0; o < LANES; o++) whole[o] += weight[4 * o] * ((const int8_t *)row)[i];
                }
                sum += __builtin_convertvector(whole, vf) * g.scale;
            }
            c[r * MOST_WIDE + j] = sum;
        }
}

#if defined(__x86_64__) && (__GNUC__ >= 10 || __clang_major__ >= 9) /* compilers that know them all */
#define X86
#include <immintrin.h>
#define ISA_AVX2 __attribute__((target("avx2,fma")))
#define ISA_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#define ISA_NEW __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni")))
#define UNROLL _Pragma("GCC unroll 8")

ISA_NEW INLINE void tile_half_new(const char *w, int64_t depth, const char *in, int64_t stride, int rows,
                                  int wide, int step, vf *c) {
    (void)step;
    __m512 sum[MOST_ROWS][MOST_WIDE];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < wide; j++) sum[r][j] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth / 2; k++, w += wide * 64) {
        __m512bh weight[MOST_WIDE];
        UNROLL for (int j = 0; j < wide; j++) {
            weight[j] = (__m512bh)_mm512_loadu_si512(w + j * 64);
            if (rows <= 4) _mm_prefetch(w + j * 64 + 2048, _MM_HINT_T0);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, in + r * stride + k * 4, 4);
            __m512bh one = (__m512bh)_mm512_set1_epi32(pair);
            UNROLL for (int j = 0; j < wide; j++) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], weight[j], one);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < wide; j++) c[r * MOST_WIDE + j] = (vf)sum[r][j];
}

/* In assembler, because compilers move the sums in and out of memory around the intrinsic. */
ISA_NEW INLINE void tile_byte_new(const char *w, int64_t depth, const char *in, int64_t stride, int rows,
                                  int wide, int step, vf *c) {
    (void)step;
    memset(c, 0, sizeof(vf) * MOST_ROWS * MOST_WIDE);
    for (int64_t k = 0; k < depth; k += GROUP) {
        __m512i whole[MOST_ROWS][MOST_WIDE];
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i start = _mm512_set1_epi32(group_of(in + r * stride, depth, k).start);
            UNROLL for (int j = 0; j < wide; j++) whole[r][j] = start;
        }
        for (int i = 0; i < GROUP; i += 4, w += wide * 64) {
            __m512i weight[MOST_WIDE];
            UNROLL for (int j = 0; j < wide; j++) {
                weight[j] = _mm512_loadu_si512(w + j * 64);
                if (rows <= 4) _mm_prefetch(w + j * 64 + 2048, _MM_HINT_T0);
            }
            UNROLL for (int r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, in + r * stride + k + i, 4);
                __m512i one = _mm512_set1_epi32(four);
                UNROLL for (int j = 0; j < wide; j++)
                    __asm__("vpdpbusd %2, %1, %0" : "+v"(whole[r][j]) : "v"(weight[j]), "v"(one));
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            __m512 scale = _mm512_set1_ps(group_of(in + r * stride, depth, k).scale);
            UNROLL for (int j = 0; j < wide; j++) {
                __m512 *sum = (__m512 *)(c + r * MOST_WIDE + j);
                *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[r][j]), scale, *sum);
            }
        }
    }
}

ISA_AVX2 INLINE void tile_byte_avx2(const char *w, int64_t depth, const char *in, int64_t stride, int rows,
                                    int wide, int step, vf *c) {
    (void)step;
    for (int part = 0; part < 2 * wide; part++) { /* of 8 columns */
        __m256 sum[3];
        UNROLL for (int r = 0; r < rows; r++) sum[r] = _mm256_setzero_ps();
        for (int64_t k = 0; k < depth; k += GROUP) {
            __m256i half[3][2]; /* of 4 columns: sums of two products, beside each other */
            UNROLL for (int r = 0; r < rows; r++) half[r][0] = half[r][1] = _mm256_setzero_si256();
            for (int64_t i = k; i < k + GROUP; i += 4) {
                const char *place = w + i / 4 * wide * 64 + part * 32;
                __m256i one = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)place));
                __m256i two = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(place + 16)));
                UNROLL for (int r = 0; r < rows; r++) {
                    int32_t four;
                    memcpy(&four, in + r * stride + i, 4);
                    __m256i x = _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
                    half[r][0] = _mm256_add_epi32(half[r][0], _mm256_madd_epi16(one, x));
                    half[r][1] = _mm256_add_epi32(half[r][1], _mm256_madd_epi16(two, x));
                }
            }
            UNROLL for (int r = 0; r < rows; r++) {
                group g = group_of(in + r * stride, depth, k);
                __m256i whole = _mm256_permute4x64_epi64(_mm256_hadd_epi32(half[r][0], half[r][1]), 0xd8);
                whole = _mm256_add_epi32(whole, _mm256_set1_epi32(g.start));
                sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), _mm256_set1_ps(g.scale), sum[r]);
            }
        }
        UNROLL for (int r = 0; r < rows; r++)
            memcpy((float *)(c + r * MOST_WIDE) + part * 8, &sum[r], sizeof sum[r]);
    }
}
#endif

typedef void tile(const char *w, int64_t depth, const char *in, int64_t stride, int rows, int wide, vf *c);

#define CASE(body, rows, wide, step) \
    case rows * 8 + wide: body(w, depth, in, stride, rows, wide, step, c); break;
#define TILE3(name, isa, body, step)                                                                       \
    isa static void name(const char *w, int64_t depth, const char *in, int64_t stride, int rows, int wide, \
                         vf *c) {                                                                          \
        switch (rows * 8 + wide) {                                                                         \
            CASE(body, 1, 1, 1) CASE(body, 2, 1, 1) CASE(body, 3, 1, 1)                                     \
            CASE(body, 1, 4, step) CASE(body, 2, 4, step) CASE(body, 3, 4, step)                            \
        }                                                                                                  \
    }
#define TILE6(name, isa, body, step)                                                                       \
    isa static void name(const char *w, int64_t depth, const char *in, int64_t stride, int rows, int wide, \
                         vf *c) {                                                                          \
        switch (rows * 8 + wide) {                                                                         \
            CASE(body, 1, 1, 1) CASE(body, 2, 1, 1) CASE(body, 3, 1, 1)                                     \
            CASE(body, 4, 1, 1) CASE(body, 5, 1, 1) CASE(body, 6, 1, 1)                                     \
            CASE(body, 1, 4, step) CASE(body, 2, 4, step) CASE(body, 3, 4, step)                            \
            CASE(body, 4, 4, step) CASE(body, 5, 4, step) CASE(body, 6, 4, step)                            \
        }                                                                                                  \
    }

TILE3(float_plain, , tile_float, 1)
TILE3(half_plain, , tile_half, 1)
TILE3(byte_plain, , tile_byte, 1)
#ifdef X86
TILE6(float_avx2, ISA_AVX2, tile_float, 1)
TILE6(half_avx2, ISA_AVX2, tile_half, 1)
TILE3(byte_avx2, ISA_AVX2, tile_byte_avx2, 1)
TILE6(float_avx512, ISA_AVX512, tile_float, 4)
TILE6(half_avx512, ISA_AVX512, tile_half, 4)
TILE6(half_new, ISA_NEW, tile_half_new, 4)
TILE6(byte_new, ISA_NEW, tile_byte_new, 4)
#endif

typedef struct {
    tile *run[3];     /* by kind */
    int8_t rows[3];   /* at most, of a tile */
} tiles;

static const tiles known[] = {
    {{float_plain, half_plain, byte_plain}, {3, 3, 3}},
#ifdef X86
    {{float_avx2, half_avx2, byte_avx2}, {6, 6, 3}},
    {{float_avx512, half_avx512, byte_avx2}, {6, 6, 3}},
    {{float_avx512, half_new, byte_new}, {6, 6, 6}},
#endif
};
static int level = -1; /* which of them */

static int best_level(void) {
#ifdef X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return PLAIN;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return AVX2;
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni")) return AVX512;
    return AVX512_BF16_VNNI;
#else
    return PLAIN;
#endif
}

/* Use at most these instructions from now on; which ones are used: 0 … 3. */
API int64_t aegir_level(int64_t most) {
    int best = best_level();
    level = most < best ? (int)most : best;
    return level;
}

/* --- one product as jobs ------------------------------------------------------------------------------------- */

typedef struct {
    const matrix *m;
    const void *in; /* rows of the matrix's kind of inputs */
    void *out;      /* rows as inputs of `kind` with `stride` bytes each */
    int64_t kind, stride, after; /* after: AS_IS, … */
} product;

INLINE int64_t panels(const matrix *m) { return m->width / PANEL + m->width % PANEL / LANES; }

INLINE vf applied(vf x, int64_t after) {
    const vf zero = {0};
    if (after == TANH) return 2.0f * sigmoid(x + x) - 1.0f;
    if (after == SIGMOID) return sigmoid(x);
    if (after == SQUARE_RELU) {
        x = chosen((vu)(x < zero), zero, x);
        return x * x;
    }
    return x;
}

/* The rows first … last of one panel. */
CLONED void product_panel(const product *p, int64_t panel, int64_t first, int64_t last) {
    const matrix *m = p->m;
    int64_t whole = m->width / PANEL, in_stride = row_bytes(m->kind, m->depth);
    int wide = panel < whole ? MOST_WIDE : 1;
    int64_t column = panel < whole ? panel * PANEL : whole * PANEL + (panel - whole) * LANES;
    const char *weights = (const char *)m->weights + column * m->depth * weight_bytes(m->kind);
    int64_t most = known[level].rows[m->kind], pieces = (last - first + most - 1) / most;
    for (int64_t piece = 0; piece < pieces; piece++) {
        int64_t from = first + (last - first) * piece / pieces, to = first + (last - first) * (piece + 1) / pieces;
        vf c[MOST_ROWS * MOST_WIDE] __attribute__((aligned(64)));
        known[level].run[m->kind](weights, m->depth, (const char *)p->in + from * in_stride, in_stride,
                                  (int)(to - from), wide, c);
        for (int64_t row = from; row < to; row++) {
            vf *x = c + (row - from) * MOST_WIDE;
            for (int v = 0; v < wide; v++) {
                if (m->kind == BYTE) x[v] *= at(m->scales, column + v * LANES);
                x[v] = applied(x[v], p->after);
            }
            put((char *)p->out + row * p->stride, p->kind, column, m->width, x, wide);
        }
    }
}
