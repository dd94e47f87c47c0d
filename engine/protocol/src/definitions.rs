//! What every figure means: one text each, for `--explain` and for the page.

pub mod prediction;

/// A figure by its name for programs and its name for people.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// as in reports and on the command line; empty for what the page alone shows
    pub id: &'static str,
    pub name: &'static str,
    /// empty for a plain number
    pub unit: &'static str,
    pub text: &'static str,
}

macro_rules! definitions {
    ($($const:ident = $id:literal, $name:literal, $unit:literal: $text:literal;)*) => {
        $(pub static $const: Definition = Definition { id: $id, name: $name, unit: $unit, text: $text };)*

        /// Every definition, in the order of this file.
        pub fn all() -> &'static [&'static Definition] {
            static ALL: &[&Definition] = &[$(&$const),*];
            ALL
        }
    };
}

/// By id, or by the name that people use; upper and lower case are the same.
pub fn find(name: &str) -> Option<&'static Definition> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    all().iter().copied().find(|definition| is(definition.id) || is(definition.name))
}

definitions! {
    TTFT = "ttft_ms", "TTFT", "ms": "Time to first token: from the moment the engine took the request to the first \
        non-empty text. The model is resident, so loading is not in it. It is later than the first token where a \
        character spans several tokens.";
    ENGINE_TTFT = "engine_ttft_ms", "Engine TTFT", "ms": "From the moment the engine took the request to the first \
        token id: tokenising, prefill, the choice of a token, its read-back.";
    PAINT_TTFT = "paint_ttft_ms", "Paint TTFT", "ms": "From the click on Generate to the first text on screen: the end \
        of the second frame that the browser began after the text was in the page. It holds the way to the worker and \
        back.";
    START_TTFT = "start_ttft_ms", "TTFT of a start", "ms": "From where the start state's clock begins (the process or \
        the navigation for first_visit and cold, the new process or worker for warm_cache, the request for warm) to the \
        first text: loading is in it.";
    TPOT = "tpot_ms", "TPOT", "ms": "Time per output token: the time from the first token to the last, divided by the \
        number of tokens after the first. Prefill is not in it. Not known for a single token.";
    ITL = "itl_ms", "ITL", "ms": "Inter-token latency: the mean time between one emission (read-back) and the next. \
        With speculation an emission brings several tokens, so it is not TPOT; tokens per emission stand beside it.";
    TOKENS_PER_EMISSION = "tokens_per_emission", "Tokens per emission", "": "Tokens per read-back from the device.";
    E2EL = "e2el_ms", "E2EL", "ms": "End-to-end latency: from the moment the engine took the request to the last token.";
    TOKEN_GENERATION = "token_generation_ms", "Token generation", "ms": "E2EL - TTFT: the time from the first text to \
        the last token; 0 where they came together.";
    PREFILL_RATE = "prefill_tokens_per_s", "Prefill", "tokens/s": "Prompt tokens computed per second of the prefill \
        phase. Tokens that the KV cache still held from the request before are not counted.";
    DECODE_RATE = "decode_tokens_per_s", "Tokens/s", "tokens/s": "1000 / TPOT: tokens per second after the first \
        token. Tokens per second of a whole request, prefill included, are fewer.";
    OUTPUT_RATE = "output_tokens_per_s", "Output tokens/s", "tokens/s": "Tokens committed / E2EL: the effective rate of \
        a whole request, prefill included. Guesses that were not accepted are not in it.";
    TOTAL_RATE = "total_tokens_per_s", "Total tokens/s", "tokens/s": "Tokens of prompt and text / E2EL.";
    ACCEPTANCE_RATE = "acceptance_rate", "Acceptance rate", "": "Accepted / drafted tokens. The target's own tokens \
        count in neither. A wide tree lowers it, since one path at most is accepted.";
    ACCEPTANCE_LENGTH = "acceptance_length", "Acceptance length", "tokens": "1 + accepted / rounds: tokens that a \
        round yields, the target's own included; 1 if there was no round. A high one is not yet a speed-up: compare \
        TPOT with that of plain decoding, side by side.";
    PER_PASS = "tokens_per_target_pass", "Tokens per pass", "tokens": "1 + accepted / target passes: as the \
        acceptance length, over all passes.";
    VERIFICATION_EFFICIENCY = "verification_efficiency", "Verification efficiency", "": "Accepted tokens / rows that \
        the target computed to check guesses, the roots of the trees included: the share of its work that guesses \
        turned into text.";
    REPETITION = "repetition", "Repetition", "": "Share of the text's 4-grams of tokens that had occurred before, in \
        the prompt or in the text. Text that repeats itself is easy to guess, so a speed-up counts beside this and \
        beside that of lookup.";
    PEAK = "peak_gpu_bytes", "Peak", "bytes": "The most that the engine held on the device at once. The driver's own \
        memory is not in it.";
    GOODPUT = "goodput", "Goodput", "": "Share of the requests whose TTFT and TPOT are both within the stated limits.";
    SPEED_UP = "speed_up", "Speed-up", "": "Median TPOT of plain decoding over that of the method, both run in turns \
        in one process. With the prefill left out it says what long texts gain.";
    BREAK_EVEN = "break_even_tokens", "Break-even", "tokens": "N* = (TTFT with speculation - TTFT without) / (TPOT \
        without - TPOT with): the tokens after which speculation has made good its later first token. Never, where its \
        TPOT is not the smaller one.";
    INTERVAL = "interval", "Interval", "": "95 % interval of a median over runs: smoothed bootstrap, seeded, so that \
        the same data give the same interval. None is given for fewer than six runs.";
}
