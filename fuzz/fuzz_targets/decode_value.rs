#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| dynolock::internals::decode_value::body(data));
