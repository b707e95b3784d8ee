#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| dynolock::internals::round_trip_value::body(data));
