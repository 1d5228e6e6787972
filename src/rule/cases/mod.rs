pub fn show_row(_t:&crate::rule::RuleTable,_r:&[crate::data::Value])->String{String::new()}
pub fn show_state(_t:&crate::rule::RuleTable,_r:Option<&crate::data::Row>)->String{String::new()}
pub fn show_side(_t:&crate::rule::RuleTable,_r:&crate::rule::Side)->String{String::new()}
pub fn show_conflict(_t:&crate::rule::RuleTable,_r:&crate::rule::Conflict,_v:Option<&crate::rule::Verdict>)->String{String::new()}
