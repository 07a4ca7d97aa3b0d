//! What the chain sells and where its stores are: fixed lists, and a Zipf choice among their ranks.

use millstream_types::Rng;

/// How many articles there are.
pub(super) const ARTICLES: u32 = 20_000;

/// Names of goods. Some are not ASCII, so that a cut can fall inside a character; one has quotes.
const GOODS: [&str; 32] = [
    "tea",
    "चाय",
    "coffee",
    "basmati rice",
    "बासमती चावल",
    "wheat flour",
    "toor dal",
    "तूर दाल",
    "jaggery",
    "mustard oil",
    "नारियल तेल",
    "ghee",
    "paneer",
    "curd",
    "milk",
    "தேங்காய்",
    "onion",
    "potato",
    "jalapeño",
    "crème fraîche",
    "biscuits",
    "8\" cake tin",
    "shampoo",
    "soap",
    "toothpaste",
    "detergent",
    "matches",
    "notebook",
    "battery AA",
    "LED bulb 9 W",
    "緑茶",
    "gift bag 🎁",
];
const SIZES: [&str; 8] = ["50 g", "100 g", "250 g", "500 g", "1 kg", "2 kg", "5 kg", "pack of 6"];

const CITIES: [(&str, &str); 40] = [
    ("Pune", "West"),
    ("Mumbai", "West"),
    ("Nashik", "West"),
    ("Nagpur", "West"),
    ("Surat", "West"),
    ("Ahmedabad", "West"),
    ("Vadodara", "West"),
    ("Rajkot", "West"),
    ("Panaji", "West"),
    ("Kolhapur", "West"),
    ("Delhi", "North"),
    ("Jaipur", "North"),
    ("Lucknow", "North"),
    ("Kanpur", "North"),
    ("Agra", "North"),
    ("Amritsar", "North"),
    ("Chandigarh", "North"),
    ("Dehradun", "North"),
    ("Varanasi", "North"),
    ("Srinagar", "North"),
    ("Bengaluru", "South"),
    ("Mysuru", "South"),
    ("Chennai", "South"),
    ("Coimbatore", "South"),
    ("Madurai", "South"),
    ("Kochi", "South"),
    ("Kozhikode", "South"),
    ("Hyderabad", "South"),
    ("Visakhapatnam", "South"),
    ("Vijayawada", "South"),
    ("Kolkata", "East"),
    ("Howrah", "East"),
    ("Patna", "East"),
    ("Gaya", "East"),
    ("Ranchi", "East"),
    ("Bhubaneswar", "East"),
    ("Cuttack", "East"),
    ("Guwahati", "East"),
    ("Shillong", "East"),
    ("Imphal", "East"),
];

/// One article.
#[derive(Clone, Copy, Debug)]
pub(super) struct Article {
    pub number: u32,
    /// In hundredths.
    pub unit_price: i64,
    /// In hundredths of the net amount.
    pub tax_percent: i64,
    good: u32,
    size: u32,
}

impl Article {
    /// The article of this rank: 0 sells best.
    pub(super) fn of_rank(rank: u32) -> Article {
        // A fixed scramble, so that neighbours in rank differ in name and price.
        let mixed = (u64::from(rank) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let pick = |shift: u32, bound: u64| (mixed >> shift) % bound;
        let whole = 500 + pick(8, 60_000) as i64;
        let unit_price = match pick(3, 4) {
            0 => whole / 100 * 100,
            1 => whole / 50 * 50,
            2 => whole / 10 * 10,
            _ => whole,
        };
        let tax_percent = [0, 5, 12, 18][pick(50, 4) as usize];
        let (good, size) = (pick(40, GOODS.len() as u64) as u32, pick(32, SIZES.len() as u64) as u32);
        Article { number: 10_000 + rank, unit_price, tax_percent, good, size }
    }

    /// The nearest article after this one whose name is not ASCII.
    pub(super) fn with_wide_name(self) -> Article {
        let from = self.number - 10_000;
        let wide = |rank: &u32| !GOODS[Article::of_rank(*rank).good as usize].is_ascii();
        Article::of_rank((from..from + ARTICLES).map(|rank| rank % ARTICLES).find(wide).unwrap_or(0))
    }

    pub(super) fn name(&self) -> (&'static str, &'static str) {
        (GOODS[self.good as usize], SIZES[self.size as usize])
    }
}

/// City and region of a store.
pub(super) fn city(store: u32) -> (&'static str, &'static str) {
    CITIES[store as usize % CITIES.len()]
}

/// Ranks from 0, rank k with weight 1 / (k + 1), by integers.
#[derive(Debug)]
pub(super) struct Zipf {
    upto: Vec<u64>,
}

impl Zipf {
    pub(super) fn new(ranks: u32) -> Zipf {
        let weights = (1..=u64::from(ranks)).map(|rank| 1_000_000_000_000 / rank);
        let upto = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Zipf { upto: upto.collect() }
    }

    pub(super) fn choose(&self, rng: &mut dyn Rng) -> u32 {
        let total = *self.upto.last().expect("there is at least one rank");
        let drawn = rng.below(total);
        self.upto.partition_point(|upto| *upto <= drawn) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_types::SeededRng;

    #[test]
    fn the_first_rank_is_chosen_twice_as_often_as_the_second() {
        let zipf = Zipf::new(400);
        let mut rng = SeededRng::new(1);
        let mut counts = [0_u32; 400];
        for _ in 0..100_000 {
            counts[zipf.choose(&mut rng) as usize] += 1;
        }
        assert!((14_500..16_000).contains(&counts[0]), "{}", counts[0]);
        assert!((7_200..8_100).contains(&counts[1]), "{}", counts[1]);
        assert!(counts.iter().all(|count| *count > 0));
    }

    #[test]
    fn prices_are_positive_and_a_wide_name_is_found() {
        for rank in 0..ARTICLES {
            let article = Article::of_rank(rank);
            assert!(article.unit_price >= 500, "{article:?}");
            assert!(!article.with_wide_name().name().0.is_ascii());
        }
    }
}
