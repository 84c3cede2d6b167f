//! Steps in an order that respects `after`, the same for every order of the input.
//!
//! The DAG is petgraph's; the order is Kahn's algorithm with a heap on step ids, because petgraph's own topological sort
//! follows the order of insertion. No word of the domain is needed here beyond `Step`.

use model::{Step, StepId};
use petgraph::{Direction, graph::DiGraph, graph::NodeIndex};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

/// The DAG of `steps`: an edge leads from each step to those that come after it. Unknown ids are left out.
pub(crate) fn graph(steps: &[Step]) -> DiGraph<usize, ()> {
    let mut graph = DiGraph::with_capacity(steps.len(), steps.len());
    let by_id: HashMap<&StepId, NodeIndex> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| (&step.id, graph.add_node(index)))
        .collect();
    for step in steps {
        for before in &step.after {
            if let (Some(from), Some(to)) = (by_id.get(before), by_id.get(&step.id)) {
                graph.add_edge(*from, *to, ());
            }
        }
    }
    graph
}

/// Sorts `steps`. Members of a cycle, which the rules cannot make, come last, where `check` reports them.
pub(crate) fn topological(steps: Vec<Step>) -> Vec<Step> {
    let graph = graph(&steps);
    let mut waiting: Vec<usize> = graph
        .node_indices()
        .map(|node| graph.neighbors_directed(node, Direction::Incoming).count())
        .collect();
    let mut ready: BinaryHeap<Reverse<(&StepId, NodeIndex)>> = graph
        .node_indices()
        .filter(|node| waiting[node.index()] == 0)
        .map(|node| Reverse((&steps[graph[node]].id, node)))
        .collect();
    let mut order = Vec::with_capacity(steps.len());
    while let Some(Reverse((_, node))) = ready.pop() {
        order.push(graph[node]);
        for next in graph.neighbors_directed(node, Direction::Outgoing) {
            waiting[next.index()] -= 1;
            if waiting[next.index()] == 0 {
                ready.push(Reverse((&steps[graph[next]].id, next)));
            }
        }
    }
    drop(ready);
    let mut slots: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let mut sorted: Vec<Step> = order
        .into_iter()
        .filter_map(|index| slots[index].take())
        .collect();
    let mut rest: Vec<Step> = slots.into_iter().flatten().collect();
    rest.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.append(&mut rest);
    sorted
}

/// Ids of the members of every cycle, for `check`.
pub(crate) fn cycles(steps: &[Step]) -> Vec<Vec<StepId>> {
    let graph = graph(steps);
    petgraph::algo::tarjan_scc(&graph)
        .into_iter()
        .filter(|members| members.len() > 1 || graph.contains_edge(members[0], members[0]))
        .map(|members| {
            let mut ids: Vec<StepId> = members
                .into_iter()
                .map(|node| steps[graph[node]].id.clone())
                .collect();
            ids.sort();
            ids
        })
        .collect()
}
