# The power family as a table of rows (rate, log weight), by Kanter's mixture.
#
# e^(-P (t/t_s)^rho), rho = 1/alpha, is the Laplace transform of a positive stable law: its rate is
# lambda = (A(u)/e)^(alpha-1), u ~ U(0, pi), e ~ Exp(1), A Zolotarev's function (Kanter 1975).
# Only w = log A - log e matters, so (u, e) is reduced to one dimension, and the density q(w) is
# made for the exponent at hand:
#  * body, e' = A(0+) e^-w >= 1/2: q = e' e^-e' J(e'), J = (1/pi) int exp(phi - e' (e^phi - 1)) du
#    with phi = log(A/A(0+)); the nodes have e^phi - 1 = zeta^2, so that the integrand is a Gaussian
#    in zeta times a smooth function, the same for every e';
#  * right tail, e' < 1/2: the integral along the cut of the Laplace transform,
#    q = (alpha-1) (lambda/pi) int exp(-lambda x - x^rho cos(pi rho)) sin(x^rho sin(pi rho)) dx.
# With facts the mixture is tilted by e^(-lambda t_s). Everything is measured from the peak of the
# tilted exponent, e* = P (1 - rho), where the shared penalty P has been taken out exactly.
#
# The rule over w is a trapezoid in eta, where w(eta) is smooth and dw/deta is as large as the
# integrand allows: 2/sqrt(alpha e') while e' is large (a peak's width), constant near e' = 1, and
# for alpha near 1 growing like w itself (the tail falls as w^-2) up to 1/(alpha-1).
# Without facts the weights must sum to 1: how well they do is the estimate of the error.

from libc.math cimport (
    asinh, cos, cosh, exp, expm1, fabs, fmax, fmin, log, log1p, pow, sin, sinh, sqrt,
)

from fact_terms cimport LN2, PI

cdef extern from *:
    """
    /* zeta(2k) / (k pi^(2k)), k = 1, ..., 30: -log(sin x / x) = sum_k of these times x^(2k). */
    static const double bm_sine_series[30] = {
        0.16666666666666669, 0.005555555555555557, 0.00035273368606701953,
        2.6455026455026466e-05, 2.137779915557694e-06, 1.803670234005332e-07,
        1.5661391322766993e-08, 1.3884130493737307e-09, 1.2504359176005007e-10,
        1.1402575602296098e-11, 1.0502923908637565e-12, 9.754877841593711e-14,
        9.123468230859108e-15, 8.583719761895619e-16, 8.117318009727799e-17,
        7.710527514116281e-18, 7.352844932712011e-19, 7.036101210390663e-20,
        6.753847290217454e-21, 6.50092411503433e-22, 6.273155486703296e-23,
        6.067124691266818e-24, 5.880009395889208e-25, 5.709457821604077e-26,
        5.5534946346328976e-27, 5.4104485551190105e-28, 5.278896052835737e-29,
        5.1576171081253234e-30, 5.045560125771867e-31, 4.941813866123952e-32
    };
    static const double bm_least_penalty = 8.673617379884035e-19;
    """
    const double SINE_SERIES "bm_sine_series"[30]
    const double LEAST_PENALTY "bm_least_penalty"

cdef enum:
    BODY_ROWS = 512
    TAIL_ROWS = 8192

cdef struct Window:
    double alpha
    double excess        # alpha - 1
    double omega         # 1 - 1/alpha
    double peak          # e* = P (1 - rho)
    double log_peak
    double slope         # lambda t_s at the peak: P rho
    double scale         # 1, or alpha - 1 where that is larger
    double h             # step in eta
    double root          # sqrt(alpha e*) / scale
    double start         # eta of node 0
    double left          # range of delta = w - w*
    double right
    double size          # what the facts take off the largest sum, for the estimate of rounding
    bint far             # root so large that nodes are counted from it

# Shape of w(eta), and steps of the two inner rules: the weights sum to 1 within 1e-14 with these.
cdef extern from *:
    """
    static const double bm_step = 0.3, bm_bend = 1.0 / 3.0, bm_growth = 2.0, bm_onset = 2.0;
    static const double bm_body_step = 0.15, bm_tail_step = 0.1;
    """
    const double STEP "bm_step"
    const double BEND "bm_bend"
    const double GROWTH "bm_growth"
    const double ONSET "bm_onset"
    const double BODY_STEP "bm_body_step"
    const double TAIL_STEP "bm_tail_step"


cdef inline double exp_excess(double x) noexcept nogil:
    # e^x - 1 - x without cancellation.
    cdef double value = 1.0
    cdef int k
    if fabs(x) > 0.25:
        return expm1(x) - x
    for k in range(13, 2, -1):
        value = 1.0 + value * x / k
    return 0.5 * x * x * value


cdef inline double tilt(const Window* window, double delta) noexcept nogil:
    # -(e' + lambda t_s - P): what the exponent has lost at a distance delta from its peak.
    return -window.peak * (
        exp_excess(-delta) + exp_excess(window.excess * delta) / window.excess
    )


cdef inline double log_product(double rate, const double* cost, const double* step,
                               Py_ssize_t n) noexcept nogil:
    # sum_j log(e^-cost_j + e^-(rate step_j)); e^-500 leaves room for a product's other factors.
    cdef Py_ssize_t j
    cdef double value = 0.0, product = 1.0, x, low
    for j in range(n):
        x = rate * step[j]
        low = fmin(x, cost[j])
        if low > 500.0:
            value += log1p(exp(low - fmax(x, cost[j]))) - low
            continue
        product *= exp(-cost[j]) + exp(-x)
        if product < 1e-80 or product > 1e80:
            value += log(product)
            product = 1.0
    return value + log(product)


cdef inline double left_reach(double x) noexcept nogil:
    # u with e^u - 1 - u >= x.
    return sqrt(2.0 * x) if x < 1.0 else log(1.0 + x + 2.0 * log1p(x))


cdef inline double right_reach(double x) noexcept nogil:
    # u with u - 1 + e^-u >= x.
    return sqrt(2.0 * x) + x if x < 0.5 else 1.0 + x


cdef inline Window power_window(double alpha, double penalty, const double* cost,
                                const double* step, Py_ssize_t n) noexcept nogil:
    # The product over facts falls with the rate, so what is 45 nats below the peak on the right is
    # negligible; on the left it is after the most that the product can gain.
    cdef Window window
    cdef double free, best, delta, rate
    cdef int k
    window.alpha = alpha
    window.excess = alpha - 1.0
    window.omega = window.excess / alpha
    window.peak = penalty * window.omega
    window.log_peak = log(window.peak)
    window.slope = penalty / alpha
    window.scale = fmax(1.0, window.excess)
    window.h = STEP / window.scale
    window.root = sqrt(alpha * window.peak) / window.scale
    window.far = window.root > 40.0 / BEND
    window.start = -window.root if window.far else fmin(0.0, -log(expm1(BEND * window.root)) / BEND)
    free = log_product(0.0, cost, step, n)
    best = log_product(window.slope, cost, step, n)
    k = 1
    while free - best > 100.0:
        delta = -1.4 * k
        if tilt(&window, delta) + free < best:
            break
        rate = window.slope * exp(window.excess * delta)
        best = fmax(best, tilt(&window, delta) + log_product(rate, cost, step, n))
        k += 1
    window.size = free - best
    window.left = -left_reach((45.0 + free - best) / window.peak)
    window.right = fmin(
        right_reach(45.0 / window.peak),
        left_reach(45.0 * window.excess / window.peak) / window.excess,
    )
    return window


cdef inline double far_node(const Window* window, Py_ssize_t k, double* delta) noexcept nogil:
    # Node k of a far window, counted from `root`: sqrt(alpha e')/scale itself is evenly spaced.
    delta[0] = -2.0 * log1p(-k * window.h / window.root)
    return 2.0 * window.h / (window.root - k * window.h)


cdef inline double bent_node(const Window* window, double eta, double* delta) noexcept nogil:
    # delta at eta; returns h times d delta / d eta.
    # sqrt(alpha e')/scale = log(1 + e^(-BEND xi))/BEND, xi = eta + log(1 + g e^(eta - ONSET))/g.
    cdef double xi = eta, slope = 1.0, growth = GROWTH * window.excess, gain, root, ratio
    if growth < 1.0:
        gain = growth * exp(eta - ONSET)
        xi += log1p(gain) / growth
        slope += gain / (1.0 + gain) / growth
    if BEND * xi > 30.0:
        delta[0] = 2.0 * (BEND * xi + log(BEND) + log(window.root))
        ratio = BEND
    else:
        root = -xi if BEND * xi < -40.0 else log1p(exp(-BEND * xi)) / BEND
        delta[0] = -2.0 * (log(root) - log(window.root))
        ratio = 1.0 / ((1.0 + exp(BEND * xi)) * root)
    return 2.0 * window.h * ratio * slope


cdef inline double power_node(const Window* window, Py_ssize_t k, double* delta) noexcept nogil:
    # delta of node k; returns h times d delta / d eta, or 0 where the counting from `root` ends.
    if not window.far:
        return bent_node(window, window.start + k * window.h, delta)
    if window.root - k * window.h < 20.0 / BEND:
        return 0.0
    return far_node(window, k, delta)


cdef inline Py_ssize_t power_nodes(const Window* window, double* delta,
                                   double* spacing) noexcept nogil:
    # Fills both arrays (or only counts, if they are NULL), from left to right.
    cdef Py_ssize_t first = 0, k, count = 0
    cdef double d = 0.0, width
    while power_node(window, first, &d) > 0.0 and d > window.left:
        first -= 1
    k = first
    while True:
        width = power_node(window, k, &d)
        if width == 0.0:
            return count
        if delta is not NULL:
            delta[count] = d
            spacing[count] = width
        count += 1
        k += 1
        if d > window.right:
            return count


cdef inline void zolotarev_series(double omega, double* series) noexcept nogil:
    # phi(u) = sum_k series_k u^(2k): every coefficient is positive.
    cdef double rho = 1.0 - omega, geometric = 1.0, power = 1.0, other = 1.0
    cdef int k
    for k in range(30):
        power *= rho
        geometric += power
        power *= rho
        geometric += power
        other *= omega * omega
        series[k] = SINE_SERIES[k] * (geometric - other)


cdef inline double zolotarev(double u, double omega, const double* series,
                             double* slope) noexcept nogil:
    # phi(u) = log(A(u)/A(0+)) and its derivative: series near 0, differences of sines beyond.
    cdef double rho = 1.0 - omega, value = 0.0, x, shift, rest, sin_u, sin_shift
    cdef int k
    slope[0] = 0.0
    if u < 1.6:
        x = u * u
        for k in range(29, -1, -1):
            value = value * x + series[k]
            slope[0] = slope[0] * x + (2 * k + 2) * series[k]
        slope[0] *= u
        return value * x
    shift = omega * u
    sin_u = sin(u)
    sin_shift = sin(shift)
    rest = -2.0 * sin(0.5 * shift) * sin(0.5 * shift) - sin_shift * cos(u) / sin_u
    slope[0] = (
        rho * (sin_shift / omega - sin_u * cos(rho * u)) / (sin_u * (1.0 + rest) * sin_u)
        + omega * cos(shift) / sin_shift - cos(u) / sin_u
    )
    return (
        (rho / omega) * (log1p(rest) - log1p(-omega))
        + log(sin_shift / shift) + log(u / sin_u)
    )


cdef inline int body_rule(double omega, double least, double most, double* square,
                          double* weight) noexcept nogil:
    # Nodes zeta = sinh(x)/sqrt(most) for e' from `least` to `most`; u(zeta) by Newton's method,
    # which cannot fail: phi is convex and the first guess is the last node plus one step.
    cdef double series[30]
    cdef double zero = 1.0 / sqrt(most), u = 0.0, step, zeta, target, value, slope = 0.0, new
    cdef int count = <int>fmin(BODY_ROWS - 1, asinh(6.3 / (sqrt(least) * zero)) / BODY_STEP + 1.0)
    cdef int i, _again
    zolotarev_series(omega, series)
    step = zero * sqrt(2.0 / (1.0 - omega)) * BODY_STEP
    square[0] = 0.0
    weight[0] = 0.5 * step / PI
    for i in range(1, count + 1):
        zeta = zero * sinh(i * BODY_STEP)
        target = log1p(zeta * zeta)
        u = u + step if u + step < PI else 0.5 * (u + PI)
        for _again in range(40):
            value = zolotarev(u, omega, series, &slope)
            new = u - (value - target) / slope
            if new >= PI:
                new = 0.5 * (u + PI)
            value = fabs(new - u)
            u = new
            if value <= 1e-9 * u:
                break
        zolotarev(u, omega, series, &slope)
        step = BODY_STEP * 2.0 * zeta * zero * cosh(i * BODY_STEP) / ((1.0 + zeta * zeta) * slope)
        square[i] = zeta * zeta
        weight[i] = (1.0 + zeta * zeta) * step / PI
    return count + 1


cdef inline double log_body(double e, const double* square, const double* weight,
                            int count) noexcept nogil:
    # log J(e').
    cdef double value = 0.0
    cdef int i
    for i in range(count):
        if e * square[i] > 40.0:
            break
        value += weight[i] * exp(-e * square[i])
    return log(value)


cdef inline int tail_rule(double alpha, double omega, double farthest, double* x, double* sine,
                          double* drop) noexcept nogil:
    # x^rho sin(pi rho) = pi e^s on a grid in s, from above: x itself, the sine, and
    # drop = 1 - x^(rho-1) |cos(pi rho)| negated, so that the exponent is x (lambda - 1 - drop).
    cdef double step = TAIL_STEP * fmin(1.0, 2.0 / alpha), sin_pi = sin(PI * omega), s, log_x
    cdef double low = -44.0 / (alpha + 1.0) - farthest, cosine = cos(PI * omega)
    cdef double half = sin(0.5 * PI * omega)
    cdef int i, count = <int>fmin(TAIL_ROWS, (3.4 - low) / step)
    for i in range(count):
        s = 3.4 - i * step
        log_x = alpha * (s + log(PI / sin_pi))
        x[i] = exp(log_x)
        sine[i] = sin(PI * exp(s))
        drop[i] = expm1(-omega * log_x) * cosine - 2.0 * half * half
    return count


cdef inline double log_tail(double log_rate, double alpha, const double* x, const double* sine,
                            const double* drop, int count) noexcept nogil:
    # log q(w) at log lambda = (alpha - 1) w.
    cdef double value = 0.0, gain = expm1(log_rate), exponent, term
    cdef double step = TAIL_STEP * fmin(1.0, 2.0 / alpha)
    cdef int i
    for i in range(count):
        exponent = x[i] * (gain - drop[i])
        if exponent > 50.0:
            continue
        term = x[i] * sine[i] * exp(-exponent)
        value += term
        if exponent < 0.5 and fabs(term) < 1e-17 * value:
            break
    return log((alpha - 1.0) * alpha * step / PI * value) + log_rate


cdef inline void tail_rows(const Window* window, double log_origin, double* rule, Py_ssize_t first,
                           Py_ssize_t count, const double* delta, double* weight) noexcept nogil:
    # log q + e' for the nodes from `first` on; log_origin = log A(0+).
    cdef double farthest, w, log_e
    cdef double *sine = rule + TAIL_ROWS
    cdef double *drop = sine + TAIL_ROWS
    cdef Py_ssize_t k
    cdef int rows
    w = log_origin - window.log_peak + delta[count - 1]
    farthest = fmax(
        log(fmax(1.0, w - log(window.omega))),
        window.excess * w / window.alpha - log(sin(PI * window.omega) / PI),
    )
    rows = tail_rule(window.alpha, window.omega, farthest, rule, sine, drop)
    for k in range(first, count):
        log_e = window.log_peak - delta[k]
        weight[k] = exp(log_e) + log_tail(
            window.excess * (log_origin - log_e), window.alpha, rule, sine, drop, rows
        )


cdef inline Py_ssize_t power_rows(
    const Window* window, double* rule, double* delta, double* spacing, double* rate,
    double* weight
) noexcept nogil:
    # Rates in units of 1/t_s and log weights; `rule` holds 3 TAIL_ROWS numbers.
    cdef Py_ssize_t count = power_nodes(window, delta, spacing)
    fill_power_rows(window, rule, count, delta, spacing, rate, weight)
    return count


cdef inline void fill_power_rows(
    const Window* window, double* rule, Py_ssize_t count, const double* delta,
    const double* spacing, double* rate, double* weight
) noexcept nogil:
    # The same for the nodes given, which rise.
    cdef Py_ssize_t k, first
    cdef double least, most, e
    cdef double log_origin = log(window.omega) + log1p(-window.omega) / window.excess
    cdef int body
    most = fmax(0.5, exp(window.log_peak - delta[0]))
    least = fmax(0.5, exp(window.log_peak - delta[count - 1]))
    body = body_rule(window.omega, least, most, rule, rule + BODY_ROWS)
    first = 0
    while first < count and exp(window.log_peak - delta[first]) >= 0.5:
        e = exp(window.log_peak - delta[first])
        weight[first] = window.log_peak - delta[first] + log_body(e, rule, rule + BODY_ROWS, body)
        first += 1
    if first < count:
        tail_rows(window, log_origin, rule, first, count, delta, weight)
    for k in range(count):
        weight[k] += tilt(window, delta[k]) + log(spacing[k])
        rate[k] = window.slope * exp(window.excess * delta[k])


cdef inline double power_steps(
    double pressure, double gamma, double alpha, double t, double uses, const double* steps,
    Py_ssize_t n, double* step
) noexcept nogil:
    # The penalty P of t steps, in nats; `step` receives v tau_j / t. Where P is below 2^-60 (t = 0
    # is legal) t is raised to that, which no penalty notices: they are subadditive in t.
    cdef double penalty = pressure * LN2 * pow(t / gamma, 1.0 / alpha)
    cdef Py_ssize_t j
    if penalty < LEAST_PENALTY:
        penalty = LEAST_PENALTY
        t = gamma * pow(penalty / (pressure * LN2), alpha)
    for j in range(n):
        step[j] = fmin(uses * steps[j] / t, 1e300)
    return fmin(penalty, 1e300)


cdef inline bint nearly_linear(double alpha, double penalty) noexcept nogil:
    # The rate does not vary at all, or by less than a sum over facts can see.
    return alpha == 1.0 or penalty > 1e24
