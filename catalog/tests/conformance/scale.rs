//! Many points.

use crate::{
    fixture::{at, lease, manifest_of, tier},
    subject::Subject,
};
use mainstay_catalog::FoundCopy;

pub(crate) async fn a_hundred_thousand_points_load(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let mut found = Vec::new();
    for database in 0..100 {
        for n in 0..1000 {
            let manifest = manifest_of(&format!("db-{database}"), "hourly", n);
            if n % 10 == 0 {
                found.push(FoundCopy {
                    tier: tier("archive"),
                    manifest: manifest.clone(),
                    stored_at: at(n + 1),
                    bytes: manifest.bytes(),
                });
            }
            found.push(FoundCopy {
                tier: tier("nas"),
                bytes: manifest.bytes(),
                manifest,
                stored_at: at(n),
            });
        }
    }
    let done = catalog.rebuild(&lease, &found).await.unwrap();
    assert_eq!((done.points, done.copies), (100_000, 110_000));
    let inventory = catalog.inventory(at(9999)).await.unwrap();
    let points = &inventory.recovery_points;
    assert_eq!(points.len(), 100_000);
    assert!(points.is_sorted_by(|a, b| a.id < b.id));
    let copies: usize = points.iter().map(|point| point.copies.len()).sum();
    assert_eq!(copies, 110_000);
}
