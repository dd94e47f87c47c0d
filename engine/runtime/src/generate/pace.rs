//! How many steps of plain decoding share a read. Where reads arrive late and in bursts, the device idles between them
//! and more steps a read keep it busy; where they are fast, few steps let a text stream smoothly and waste little beyond
//! its end.

use super::pipeline::IN_FLIGHT;

/// Reads by which a size is judged.
const WINDOW: usize = 2 * IN_FLIGHT;
/// From submission to read, in milliseconds: where it takes no longer, reads are no reason to wait.
const SLOW_MS: f64 = 30.0;
/// A device that idles has one gap between reads this much longer than their mean; one that is busy has even gaps.
const UNEVEN: f64 = 1.5;
/// Twice the steps stay if tokens come faster by this factor.
const GAIN: f64 = 1.2;
/// Windows without a trial after one that gained nothing; twice as many after each.
const PAUSE: usize = 8;

/// Steps of a submission, from the times of the reads.
pub struct StepSize {
    fewest: usize,
    most: usize,
    steps: usize,
    /// tokens a millisecond with half as many steps, while twice as many are tried
    before: Option<f64>,
    /// windows until the next trial, and after the next that gains nothing
    pause: usize,
    next_pause: usize,
    last_ms: Option<f64>,
    window: Window,
}

/// Reads of submissions of one size, one after the other.
#[derive(Default)]
struct Window {
    reads: usize,
    tokens: usize,
    took_ms: f64,
    waited_ms: f64,
    longest_gap_ms: f64,
}

impl StepSize {
    /// Begins with `fewest` steps and never has more than `most`.
    pub fn new(fewest: usize, most: usize) -> Self {
        let (pause, next_pause) = (0, PAUSE);
        Self { fewest, most, steps: fewest, before: None, pause, next_pause, last_ms: None, window: Window::default() }
    }

    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Another text begins: the time since the last read is no gap.
    pub fn begin(&mut self) {
        self.last_ms = None;
        self.window = Window::default();
    }

    /// `tokens` of a submission of `steps` steps were read at `at_ms`, `waited_ms` after it was submitted.
    pub fn read(&mut self, steps: usize, tokens: usize, at_ms: f64, waited_ms: f64) {
        let last_ms = self.last_ms.replace(at_ms);
        // One of another size, or cut short by the text's end.
        let (true, Some(last_ms)) = (steps == self.steps && tokens == steps, last_ms) else {
            self.window = Window::default();
            return;
        };
        let gap_ms = at_ms - last_ms;
        let window = &mut self.window;
        window.reads += 1;
        window.tokens += tokens;
        window.took_ms += gap_ms;
        window.waited_ms += waited_ms;
        window.longest_gap_ms = window.longest_gap_ms.max(gap_ms);
        if window.reads == WINDOW {
            let window = std::mem::take(&mut self.window);
            self.judge(&window);
        }
    }

    fn judge(&mut self, window: &Window) {
        let reads = window.reads as f64;
        let rate = window.tokens as f64 / window.took_ms.max(f64::MIN_POSITIVE);
        let (waited_ms, gap_ms) = (window.waited_ms / reads, window.took_ms / reads);
        if let Some(before) = self.before.take()
            && rate < GAIN * before
        {
            self.steps /= 2;
            self.pause = self.next_pause;
            self.next_pause *= 2;
            return;
        }
        if waited_ms < SLOW_MS {
            self.steps = (self.steps / 2).max(self.fewest);
            return;
        }
        let waiting = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        if !waiting && 2 * self.steps <= self.most && window.longest_gap_ms > UNEVEN * gap_ms {
            self.before = Some(rate);
            self.steps *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A device that takes `step_ms` a step, and whose reads arrive `late_ms` after its end, at the next multiple of
    /// `poll_ms`.
    struct Scripted {
        step_ms: f64,
        late_ms: f64,
        poll_ms: f64,
    }

    impl Scripted {
        /// Decodes `n` tokens as the loop does; the tokens a second and the longest pause of the text.
        fn decode(&self, size: &mut StepSize, n: usize) -> (f64, f64) {
            let (mut now, mut free, mut left, mut longest) = (0.0, 0.0f64, n, 0.0f64);
            let mut queue = VecDeque::new();
            size.begin();
            loop {
                while left > 0
                    && queue.len() < IN_FLIGHT
                    && (queue.len() < 2 || queue.front().is_some_and(|&(_, _, ready)| ready > now))
                {
                    let steps = size.steps().min(left);
                    left -= steps;
                    free = free.max(now) + steps as f64 * self.step_ms;
                    let ready = ((free + self.late_ms) / self.poll_ms).ceil() * self.poll_ms;
                    queue.push_back((steps, now, ready));
                }
                let Some((steps, submitted, ready)) = queue.pop_front() else { break };
                longest = longest.max(ready - now);
                now = now.max(ready);
                size.read(steps, steps, now, now - submitted);
            }
            (n as f64 / now * 1e3, longest)
        }
    }

    const FIREFOX: Scripted = Scripted { step_ms: 3.0, late_ms: 1.0, poll_ms: 100.0 };

    /// Seen to fail here: a size that never changes.
    #[test]
    fn late_reads_bring_more_tokens_each() {
        let mut fixed = StepSize::new(6, 6);
        let (before, _) = FIREFOX.decode(&mut fixed, 600);
        let mut size = StepSize::new(6, 48);
        FIREFOX.decode(&mut size, 600);
        let (after, _) = FIREFOX.decode(&mut size, 600);
        assert!(after > 1.5 * before, "{before} and {after} tokens a second, {} steps", size.steps());
        // 36 tokens take the device longer than a read does.
        assert!(matches!(size.steps(), 12 | 24), "{} steps", size.steps());
    }

    /// Seen to fail here: twice the steps without a look at the gaps between reads, and without one at what
    /// they gain.
    #[test]
    fn fast_reads_and_busy_devices_keep_few_steps() {
        for (step_ms, late_ms) in [(0.5, 1.0), (3.0, 2.0), (14.0, 2.0), (60.0, 5.0)] {
            let mut size = StepSize::new(6, 24);
            let (_, longest) = Scripted { step_ms, late_ms, poll_ms: 0.25 }.decode(&mut size, 600);
            assert_eq!(size.steps(), 6, "{step_ms} ms a step");
            assert!(longest <= 2.0 * (6.0 * step_ms + late_ms) + 0.25, "{step_ms} ms a step: a pause of {longest} ms");
        }
        // Late reads of devices that have enough to do, or almost.
        for step_ms in [10.0, 30.0] {
            let mut size = StepSize::new(6, 24);
            Scripted { step_ms, ..FIREFOX }.decode(&mut size, 1200);
            assert_eq!(size.steps(), 6, "{step_ms} ms a step");
        }
    }

    /// Seen to fail here: a size that only grows.
    #[test]
    fn reads_that_become_fast_bring_fewer_again() {
        let mut size = StepSize::new(6, 24);
        FIREFOX.decode(&mut size, 1200);
        assert!(size.steps() > 6);
        Scripted { step_ms: 0.3, late_ms: 1.0, poll_ms: 0.25 }.decode(&mut size, 2000);
        assert_eq!(size.steps(), 6);
    }
}
