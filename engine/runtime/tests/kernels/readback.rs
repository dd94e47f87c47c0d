//! Reads that nobody waits for yet.

use understory_runtime::gpu::Staging;

use crate::device::Device;

/// Seen to fail here: what had arrived taken for [`Staging::finish`] and lost; a device that is not asked.
#[test]
fn what_has_arrived_is_known_without_waiting() {
    let device = Device::without_checks();
    let source = device.buffer(&[7u32, 8, 9]);
    pollster::block_on(async {
        let mut staging = Staging::new(&device.gpu, 12).await.expect("a staging buffer");
        assert!(!staging.is_ready(&device.gpu), "nothing was asked for");
        for _ in 0..2 {
            let encoder = device.gpu.device().create_command_encoder(&Default::default());
            staging.submit(&device.gpu, encoder, &source, 12);
            let start = std::time::Instant::now();
            while !staging.is_ready(&device.gpu) {
                assert!(start.elapsed().as_secs() < 60, "it never arrives");
            }
            assert!(staging.is_ready(&device.gpu), "it stays");
            let read = |b: &[u8]| bytemuck::pod_collect_to_vec::<u8, u32>(b);
            assert_eq!(staging.finish(&device.gpu, "testing", read).await.expect("a read"), [7, 8, 9]);
            assert!(!staging.is_ready(&device.gpu), "it was read");
        }
    });
}
