/** Before Benchmark.js, which in a bundle finds lodash nowhere else. */
import lodash from 'lodash';

globalThis._ = lodash;
