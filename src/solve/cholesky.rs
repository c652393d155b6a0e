//! Small dense positive definite systems.

/// Solves `a x = b` for each column of `b` in place, by Cholesky's factorisation of `a`'s upper triangle. False, with `b`
/// spoilt, where `a` is not positive definite.
pub(super) fn solve<const N: usize, const M: usize>(a: &[[f64; N]; N], b: &mut [[f64; M]; N]) -> bool {
    let mut l = [[0.0; N]; N];
    for i in 0..N {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = a[j][i] - sum;
            if i != j {
                l[i][j] = rest / l[j][j];
            } else if rest > 0.0 {
                l[i][i] = rest.sqrt();
            } else {
                return false;
            }
        }
    }
    for i in 0..N {
        for k in 0..i {
            let above = b[k];
            subtract(&mut b[i], l[i][k], &above);
        }
        b[i] = b[i].map(|x| x / l[i][i]);
    }
    for i in (0..N).rev() {
        for k in i + 1..N {
            let below = b[k];
            subtract(&mut b[i], l[k][i], &below);
        }
        b[i] = b[i].map(|x| x / l[i][i]);
    }
    true
}

fn subtract<const M: usize>(from: &mut [f64; M], times: f64, row: &[f64; M]) {
    for (a, b) in from.iter_mut().zip(row) {
        *a -= times * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_solution_gives_the_right_hand_side(
            m in prop::array::uniform5(prop::array::uniform5(-1f64..1.0)), x in prop::array::uniform5(-1f64..1.0)
        ) {
            let a: [[f64; 5]; 5] = std::array::from_fn(|i| std::array::from_fn(|j| {
                (0..5).map(|k| m[k][i] * m[k][j]).sum::<f64>() + if i == j { 0.1 } else { 0.0 }
            }));
            let mut b: [[f64; 1]; 5] = std::array::from_fn(|i| [(0..5).map(|k| a[i][k] * x[k]).sum()]);
            prop_assert!(solve(&a, &mut b));
            for i in 0..5 {
                prop_assert!((b[i][0] - x[i]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn an_indefinite_matrix_is_refused() {
        assert!(!solve(&[[1.0, 2.0], [2.0, 1.0]], &mut [[1.0], [1.0]]));
        assert!(!solve(&[[f64::NAN, 0.0], [0.0, 1.0]], &mut [[1.0], [1.0]]));
    }
}
