//! Which messages travel together: as many as a batch of the link takes, in order.

/// The envelope of a batch: its message id, of at most 128 characters, and the framing.
const ENVELOPE: usize = 1024;
/// The head of a data section.
const SECTION: usize = 8;
/// A refused batch is sent again one by one, so it is kept within what that may cost.
const BATCH_MAX: usize = 500;

/// Of messages with their sizes in bytes. What must travel alone does, and so does what fits no batch.
pub(super) fn pack(messages: impl Iterator<Item = (usize, usize, bool)>, bytes_max: usize) -> Vec<Vec<usize>> {
    let mut packs: Vec<Vec<usize>> = Vec::new();
    let (mut open, mut size) = (Vec::new(), ENVELOPE);
    for (index, bytes, alone) in messages {
        if alone {
            packs.push(vec![index]);
            continue;
        }
        if !open.is_empty() && (size + bytes + SECTION > bytes_max || open.len() == BATCH_MAX) {
            packs.push(std::mem::take(&mut open));
            size = ENVELOPE;
        }
        open.push(index);
        size += bytes + SECTION;
    }
    if !open.is_empty() {
        packs.push(open);
    }
    packs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(sizes: &[(usize, bool)], max: usize) -> Vec<Vec<usize>> {
        pack(sizes.iter().enumerate().map(|(n, (bytes, alone))| (n, *bytes, *alone)), max)
    }

    #[test]
    fn a_batch_is_as_full_as_the_link_takes_and_keeps_the_order() {
        let room = ENVELOPE + 300;
        assert_eq!(packed(&[(100, false), (100, false), (100, false)], room), [vec![0, 1], vec![2]]);
        assert_eq!(packed(&[(400, false), (10, false), (10, false)], room), [vec![0], vec![1, 2]]);
        assert_eq!(packed(&[(10, false), (10, true), (10, false)], room), [vec![1], vec![0, 2]]);
        assert_eq!(packed(&[], room), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_batch_has_a_bounded_number_of_messages() {
        let packs = packed(&vec![(1, false); 1_200], 1 << 20);
        assert_eq!(packs.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 200]);
    }
}
