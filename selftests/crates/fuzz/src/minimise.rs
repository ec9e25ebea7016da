// SPDX-License-Identifier: GPL-2.0-or-later

//! Leaves out of programs what they fail without.

use crate::program::Program;

/// Returns the least that still fails, as `fails` says, of what does; asks at most `most` times.
///
/// Tries to leave out half of the programs first, and less and less, down to single ones; then likewise their steps.
pub(crate) fn minimise(
    mut programs: Vec<Program>,
    most: usize,
    mut fails: impl FnMut(&[Program]) -> bool,
) -> Vec<Program> {
    let mut left = most;
    let mut ask = |candidate: &[Program]| {
        left = left.checked_sub(1)?;
        Some(fails(candidate))
    };
    let mut piece = programs.len().div_ceil(2);
    while piece > 0 && programs.len() > 1 {
        let mut at = 0;
        while at < programs.len() && piece < programs.len() {
            let mut candidate = programs.clone();
            let end = (at + piece).min(candidate.len());
            candidate.drain(at..end);
            match ask(&candidate) {
                Some(true) => programs = candidate,
                Some(false) => at = end,
                None => return programs,
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    for which in 0..programs.len() {
        let mut piece = programs[which].0.len().div_ceil(2);
        while piece > 0 {
            let mut at = 0;
            while at < programs[which].0.len() {
                let mut candidate = programs.clone();
                let end = (at + piece).min(candidate[which].0.len());
                candidate[which].0.drain(at..end);
                match ask(&candidate) {
                    Some(true) => programs = candidate,
                    Some(false) => at = end,
                    None => return programs,
                }
            }
            piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
        }
    }
    programs.retain(|program| !program.0.is_empty());
    programs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Generator;
    use crate::program::Step;

    #[test]
    fn only_what_matters_is_left() {
        let mut generator = Generator::new(5);
        let mut programs: Vec<_> = (0..4).map(|_| generator.program()).collect();
        let bad = [Step::Close { file: 77 }, Step::Open { file: 78 }];
        programs[1].0.insert(3, bad[0].clone());
        programs[1].0.push(bad[1].clone());
        programs[3].0.insert(1, bad[1].clone());
        let fails = |programs: &[Program]| {
            programs
                .iter()
                .any(|program| bad.iter().all(|step| program.0.contains(step)))
        };
        let mut asked = 0;
        let least = minimise(programs.clone(), 1000, |candidate| {
            asked += 1;
            fails(candidate)
        });
        assert_eq!(least, [Program(bad.to_vec())]);
        assert!(asked < 60, "{asked}");
        // With less patience something is left, and it fails.
        assert!(fails(&minimise(programs, 5, fails)));
    }
}
