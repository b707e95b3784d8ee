#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| dynolock::internals::update_expression::body(data));
