//! What every number on the page means, in the words of the documentation. Metrics that reports have too are defined
//! with them, in the engine.

pub use understory_protocol::definitions::{
    ACCEPTANCE_LENGTH, ACCEPTANCE_RATE, DECODE_RATE as TOKENS_PER_S, Definition, E2EL, PAINT_TTFT, PEAK, PER_PASS,
    PREFILL_RATE as PREFILL, TOKENS_PER_EMISSION as PER_EMISSION, TPOT, TTFT,
};

macro_rules! definitions {
    ($($id:ident = $name:literal: $text:literal;)*) => {
        $(pub static $id: Definition = Definition { id: "", name: $name, unit: "", text: $text };)*
    };
}

// Times and rates.
definitions! {
    TOKENS = "Tokens": "Tokens chosen, an end token included, after a prompt of so many tokens.";
    EMISSIONS = "Emissions": "A point is a moment at which tokens were read back from the device, with the tokens so \
        far. A round of speculation brings several tokens at once.";
    ITL = "Gaps": "Inter-token latencies: the time between one read-back and the next. With speculation a read-back \
        brings several tokens, so a gap is not TPOT.";
    PHASES = "Phases": "Where the time of the start went. Loading: opening the device; reading files, configuration \
        and tokenizer; uploading weights; pipelines, as far as they were waited for; the same for the draft model. \
        Request: prompt text to tokens; prompt submitted to the first token's choice; first token to second.";
}

// Speculation.
definitions! {
    PASSES = "Target passes": "Passes of the target model after the first token.";
    ROUNDS = "Rounds": "Passes that checked at least one drafted token: auto and lookup decode plainly in between.";
    DRAFTED = "Drafted": "Guessed tokens that the target checked: the nodes of all trees, their roots not counted.";
    ACCEPTED = "Accepted": "Drafted tokens that became part of the text. The target's own tokens are not among them.";
    SYNCS = "Syncs per token": "Waits of the host for the device, per token.";
    BY_DEPTH = "By depth": "For each depth of the trees: rounds whose tree reached it, nodes there, and rounds that \
        accepted one of them.";
    GOVERNOR = "Governor": "Changes of mode by auto: plain decoding, looking up, drafting. It weighs what each costs \
        on this device against what the rounds so far gave.";
    LOSSLESS = "Lossless": "Whether checking many tokens at once gives the bits of plain decoding here. The engine \
        tests it on this device before the first round.";
    ORIGIN = "Where tokens came from": "A drafted token was guessed, by the draft model or by looking back in the \
        text, and the target chose the same token: its depth is its place in the guess. The target's own token is what \
        it chose where no guess was right, or beyond the last right one.";
    PROBABILITY = "Path probability": "Of a node: what the draft model gives to the whole path from the root to it. \
        Looked-up tokens have none of their own.";
    TREE = "Round": "The draft grows a tree of guesses behind the last token. The target checks all of it in one pass; \
        the longest path that it would have written itself is accepted, and its own next token is added.";
}

// Memory and device.
definitions! {
    WEIGHTS = "Weights": "Device memory of the target's weights.";
    KV = "KV cache": "Device memory of the keys and values that the target keeps of prompt and text.";
    PIPELINES = "Pipelines": "Compute pipelines made for the target on this device.";
    DISPATCHES = "Dispatches per token": "Compute dispatches recorded after the prompt's, drafting and passes beyond \
        an end included, over the tokens after the first.";
    COSTS = "Costs of passes": "What the device takes, in milliseconds, for checking so many rows (tokens) at once \
        with the target, and for one level of drafting by so many rows. auto sizes its trees by them.";
    PLAIN_STEP = "Plain step": "One step of plain decoding: one row, one token.";
    FIXED = "Fixed": "What a round costs besides its passes.";
    PROFILE = "Kernels": "The set of kernels that runs: gpu uses workgroups with shared memory; cpu, for adapters that \
        a CPU emulates, uses no barrier.";
}

// Side by side.
definitions! {
    ORDER = "A B B A": "A is plain decoding, B the method. They run one after the other in the order A B B A, so that \
        a device that slowly gets faster or slower favours neither. A short run of each comes first and does not \
        count.";
    IDENTICAL = "Identical": "Whether every token of the method's runs is that of plain decoding: token ids compared, \
        not text.";
    RATIO = "Speed ratio": "Mean TPOT of A over mean TPOT of B: above 1, the method is faster. Two runs each show a \
        direction; they are no benchmark.";
}

// Starts.
definitions! {
    FIRST_VISIT = "first_visit": "Nothing of ours is here: before the page loads again, the bundled models' files, the \
        kept costs of passes and the service worker with the page's files are deleted. What the browser, the graphics \
        process and the operating system keep for themselves stays.";
    COLD = "cold": "The models are on this device, the page and its engine start anew, and nothing of ours keeps \
        pipelines: the page loads again. Its own files come from the service worker, the costs of passes from an \
        earlier visit.";
    WARM_CACHE = "warm_cache": "The page stays; its engine ends and starts anew, so the browser has just compiled the \
        module and the pipelines and may have kept both.";
    WARM = "warm": "The models are resident and were used just before, with another prompt, so that nothing of this \
        one is in the KV cache: only the request is measured.";
    START_TOTAL = "To the second token": "By the page's clock alone: from the beginning of the navigation (first_visit, \
        cold), from the moment the page asked for a worker (warm_cache) or sent the request (warm), to the moment the \
        second token arrived in the page. The prompt is \u{201c}Once upon a time\u{201d}.";
    START_TTFT = "TTFT of a start": "From where the state's clock starts to the first text in the page: loading is in \
        it. With several runs, all figures are those of the run whose total is the median.";
    START_PHASES = "Phases of starts": "Page: navigation to the request for a worker. Worker: that to the worker's own \
        beginning, and its first message. Instantiate: the engine's module fetched, compiled, started. Fetch and hash: \
        the models' files brought or found, and checked. Device, open, upload, pipelines, the last three again for the \
        draft model: as in Phases. No start waits for costs of passes. \
        Tokenise, prefill, first step: the request. They do not overlap; what the total has beyond them is \
        \u{201c}messages and other\u{201d}.";
}

// Parameters.
definitions! {
    K = "k": "Drafted tokens a round, 1 to 63.";
    DEPTH = "depth": "Levels of the tree, 1 to 16.";
    BRANCH = "branch": "Children of a node, 1 to 4.";
    TAU = "tau": "A node whose path probability is below this has no children; 0 to 1.";
    BUDGET = "budget": "Nodes of a tree at most, 1 to 63.";
    START = "start": "Drafted tokens of the first round. Two more after a round that accepted all, one fewer after one \
        that did not.";
    MOST = "most": "Drafted tokens a round at most, 1 to 63.";
    THRESHOLD = "threshold": "The chain ends with the first token whose probability is below this; 0 to 1.";
    NGRAM = "ngram": "The last so many tokens are looked for in the text before them, 1 to 8.";
    LOOKED_UP = "tokens": "So many tokens that followed there are the guess, 1 to 63.";
    TEMPERATURE = "temperature": "0 takes the most likely token always; 1 draws as the model has it; between them the \
        likely ones are preferred.";
    TOP_K = "top-k": "Only the k most likely tokens; 0 is all.";
    TOP_P = "top-p": "Only the smallest set of tokens whose probability reaches p; 1 is all.";
    MIN_P = "min-p": "Drops tokens less likely than p times the most likely one; 0 drops none.";
    REPETITION = "repetition": "The penalty of repetition: above 1, tokens that already occur become less likely; 1 is off.";
    SEED = "seed": "The same seed, prompt and sampling give the same text, with every method.";
    MOST_NEW = "new tokens": "At most: the text ends after so many tokens, if the model does not end it before.";
}

// Predictions.
definitions! {
    ROOFLINE = "Prediction": "A roofline: of each operator of a pass, max(FLOP / rate, bytes / bandwidth), and what its \
        dispatches cost. Devices of the list are taken at their vendors' peaks, so real times are longer. The figures are \
        those of understory predict.";
    THIS_DEVICE = "This device": "Plain requests of eight prompt lengths to the loaded target, in turns; the least of each \
        size counts, and so does every plain request that you make in this page. A device's rates and costs are fitted to \
        them. Its peaks are not measured, so the rates are what these requests reached; some sizes are left out of the fit \
        and tell its error. For other models than the loaded one it is an extrapolation.";
    ACCEPTANCE = "acceptance": "The chance that the draft's best guess at a depth is the target's token, given that its \
        parent was: one number, or one a depth; the last one also for what is deeper.";
    INPUT = "input": "Tokens of the prompt, of each sequence.";
    OUTPUT = "output": "Tokens that follow, the first included.";
    BATCH = "batch": "Sequences at once.";
    CHUNK = "chunk": "Tokens of a prompt that go through together; empty is all, or the device's own.";
    TENSOR_PARALLEL = "tensor-parallel": "Devices that share each product.";
}
