//! The functions of a component, and calls of them.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower,
};
use wasmtime::{AsContextMut, Store};

use crate::rule::FailureKind;

use super::answer::Wrong;
use super::wire::{self, Failure, Info, Table};
use super::{PACKAGE, VERSION};
use crate::plugin::guest::GuestState;
use crate::plugin::roles::Role;

/// Where the functions of a component lie, so that a batch looks nothing up by name.
#[derive(Debug)]
pub(crate) struct Exports {
    describe: ComponentExportIndex,
    open: ComponentExportIndex,
    roles: [Option<ComponentExportIndex>; 4],
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// wasmtime stopped it.
    Wasm(wasmtime::Error),
    /// The rule said so.
    Failure(Failure),
    /// The answer is wrong.
    Wrong(Wrong),
    /// The host says so.
    Host(FailureKind, String),
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl Exports {
    /// Finds the functions. `None` when there is no `lifecycle` of this generation.
    pub(crate) fn find(component: &Component) -> Option<Self> {
        let function = |interface: &str, name: &str| {
            let interface =
                component.get_export_index(None, &*format!("{PACKAGE}/{interface}@{VERSION}"))?;
            component.get_export_index(Some(&interface), name)
        };
        Some(Self {
            describe: function("lifecycle", "describe")?,
            open: function("lifecycle", "open")?,
            roles: Role::ALL.map(|role| function(role.interface(), role.function())),
        })
    }

    /// The roles that are exported.
    pub(crate) fn roles(&self) -> Vec<Role> {
        Role::ALL
            .into_iter()
            .filter(|role| self.roles[*role as usize].is_some())
            .collect()
    }

    /// Compares the types of all functions with those of this generation. Answers the name of the
    /// first function that differs, and how.
    pub(crate) fn typecheck(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> Result<(), (&'static str, wasmtime::Error)> {
        function::<wire::DescribeIn, wire::DescribeOut>(store, instance, &self.describe)
            .map_err(|e| ("lifecycle.describe", e))?;
        function::<wire::OpenIn<'_>, wire::OpenOut>(store, instance, &self.open)
            .map_err(|e| ("lifecycle.open", e))?;
        for role in self.roles() {
            let Some(index) = &self.roles[role as usize] else {
                continue;
            };
            match role {
                Role::Resolver => {
                    function::<wire::ResolveIn<'_>, wire::ResolveOut>(store, instance, index)
                        .map(|_| ())
                }
                Role::Transformer => {
                    function::<wire::TransformIn<'_>, wire::TransformOut>(store, instance, index)
                        .map(|_| ())
                }
                Role::Validator => {
                    function::<wire::ValidateIn<'_>, wire::ValidateOut>(store, instance, index)
                        .map(|_| ())
                }
                Role::Router => {
                    function::<wire::RouteIn<'_>, wire::RouteOut>(store, instance, index)
                        .map(|_| ())
                }
            }
            .map_err(|e| (role.function(), e))?;
        }
        Ok(())
    }

    /// Who the component says it is.
    pub(crate) fn describe(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> Result<Info, Stop> {
        let (info,) =
            call::<wire::DescribeIn, wire::DescribeOut>(store, instance, &self.describe, ())?;
        Ok(info)
    }

    /// Prepares an instance for a batch.
    pub(crate) fn open(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        settings: &str,
        tables: &[Table<'_>],
    ) -> Result<(), Stop> {
        let (answer,) = call::<wire::OpenIn<'_>, wire::OpenOut>(
            store,
            instance,
            &self.open,
            (settings, tables),
        )?;
        answer.map_err(Stop::Failure)
    }

    /// Asks the question of a role. The caller gives the types that belong to it.
    pub(crate) fn ask<P, T>(
        &self,
        role: Role,
        store: &mut Store<GuestState>,
        instance: &Instance,
        params: P,
    ) -> Result<T, Stop>
    where
        P: ComponentNamedList + Lower,
        (Result<T, Failure>,): ComponentNamedList + Lift,
    {
        let index = self.roles[role as usize].as_ref().ok_or_else(|| {
            Stop::Host(
                FailureKind::Fatal,
                format!("the component exports no {role}"),
            )
        })?;
        let (answer,) = call::<P, (Result<T, Failure>,)>(store, instance, index, params)?;
        answer.map_err(Stop::Failure)
    }
}

fn function<P, R>(
    store: &mut Store<GuestState>,
    instance: &Instance,
    index: &ComponentExportIndex,
) -> wasmtime::Result<wasmtime::component::TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    instance.get_typed_func::<P, R>(store.as_context_mut(), index)
}

fn call<P, R>(
    store: &mut Store<GuestState>,
    instance: &Instance,
    index: &ComponentExportIndex,
    params: P,
) -> Result<R, Stop>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    function::<P, R>(store, instance, index)
        .and_then(|function| function.call(store.as_context_mut(), params))
        .map_err(Stop::Wasm)
}
