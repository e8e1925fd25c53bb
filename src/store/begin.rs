//! The beginning of a run: one row of the user's table and one of `runwrap_runs`, however often and by however many processes it is
//! delivered. Owns the order of the steps, which makes it safe.

use super::locked_run::{LockedRun, RunToLock};
use super::note::inherit;
use super::origin::Origin;
use super::record_row::RecordRow;
use super::reduction::NEXT_VERSION;
use super::run_row::{self, RunRow};
use super::session::{Access, Class, Failure};
use super::shape::without_nul;
use super::statement::{assignments, list, places};
use super::table::quote;
use super::transaction::Transaction;
use super::{Store, StoreError};
use crate::record::{Begun, Change, RecordId, Run, RunId, Status, merge};

/// Two deliveries of one run can meet; the loser begins again and finds the winner's row.
const ATTEMPTS_MAX: usize = 5;

impl Store {
    /// Begins `run`, or finds it begun. Beginning twice is beginning once; a row that was deleted from the user's table is inserted
    /// again, under the id and version in the database or in `known`.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] for an unknown column in `set`, or a row in `adopt` that is missing or not in training.
    pub fn begin(&mut self, run: &Run, known: Option<&Begun>) -> Result<Begun, StoreError> {
        let begun = self.reduced(|store| store.begin_once(run, known))?;
        self.options.cache.set_record_of(run.run_id, begun.record_id.clone());
        Ok(begun)
    }

    fn begin_once(&mut self, run: &Run, known: Option<&Begun>) -> Result<Begun, Failure> {
        let (run_id, typed) = (run.run_id.to_string(), self.table.quoted());
        let access = if known.is_none() { Access::Begin } else { Access::Write };
        // A run that begins for the first time has no row to lock. If it has one after all, its insert loses against that.
        let is_new = known.is_none() && run.adopt.is_none();
        for attempt in 0..ATTEMPTS_MAX {
            let locked = (attempt > 0 || !is_new).then_some(RunToLock {
                run_id: &run_id,
                record_id: None,
                needs_timeline: true,
            });
            let begun = self.transaction(access, locked, |transaction, found| {
                Beginning { transaction, run, found, moves: false, inherited: None }.begin(known, &typed)
            });
            match begun {
                Err(Failure { class: Class::Raced, .. }) => {}
                other => return other,
            }
        }
        let message = format!("run {run_id} is begun by many processes at once");
        Err(StoreError::Transient { message }.into())
    }
}

/// The number of a run's record.
enum Number {
    /// The run's own, and the row is there.
    Own(Begun),
    /// It was the run's, and no row has it: an application may have deleted the row.
    Free(Begun),
    /// Another run's, no run's, or unknown.
    Foreign,
}

/// A beginning under way.
struct Beginning<'a, 'b> {
    transaction: &'a mut Transaction<'b>,
    run: &'a Run,
    /// The run's row in `runwrap_runs`.
    found: Option<LockedRun>,
    /// The run leaves its row to the application, which put that in the place of the run's.
    moves: bool,
    /// The row that a person's notes and tags on the adopted record are in.
    inherited: Option<RunRow>,
}

/// A row of the user's table, as far as a beginning looks at it.
struct Present {
    status: String,
    version: Option<String>,
    has_end_time: bool,
    origin: Origin,
}

impl Beginning<'_, '_> {
    /// `typed` is the user's table as typed, quoted.
    fn begin(mut self, known: Option<&Begun>, typed: &str) -> Result<Begun, Failure> {
        let shape = self.transaction.shape;
        shape.columns.check_set(&self.run.set, &shape.table)?;
        if self.run.is_exclusive && self.found.is_none() && known.is_none() {
            self.refuse_beside_namesake()?;
        }
        let number = self.own(known)?;
        let found =
            self.found.as_ref().filter(|locked| locked.run.is_in(&shape.record_table)).map(|locked| &locked.run);
        let ended = found.filter(|run| run.has_truly_ended()).and_then(RunRow::begun);
        let begun = match (number, &self.run.adopt, ended) {
            (Number::Own(own), ..) => own,
            // The application may have archived the record.
            (_, _, Some(ended)) => ended,
            (Number::Free(old), ..) => self.insert_again(old)?,
            // The run has had its row already: that of this number is another.
            (Number::Foreign, Some(record_id), _) if found.is_none() => self.adopt_again(record_id, known)?,
            (Number::Foreign, ..) => {
                self.moves = self.found.as_ref().is_some_and(|locked| locked.owns_record);
                self.insert_new()?
            }
        };
        if let Some(known) = known.filter(|known| known.record_id != begun.record_id) {
            let (run_id, old, new) = (self.run.run_id, &known.record_id, &begun.record_id);
            log::warn!(event = "record_replaced", run_id:%;
                "record {old} is not this run's any more: it goes on as record {new}");
        }
        self.tie(&begun)?;
        let table = (shape.table != typed).then(|| shape.table.clone());
        Ok(Begun { table, ..begun })
    }

    /// Refuses the run while another one of its name has no end. Until commit no other run of the name begins.
    fn refuse_beside_namesake(&mut self) -> Result<(), Failure> {
        let (name, table) = (without_nul(&self.run.name), self.transaction.shape.record_table.clone());
        let name = self.transaction.reduction.encoded(&name, "");
        self.transaction.lock(&format!("runwrap name {table} {name}"))?;
        let select = self.transaction.sql("unended_namesake", &[]);
        let run_id = self.run.run_id.to_string();
        let rows = self.transaction.rows(&select, &[Some(&table), Some(&name), Some(&run_id)])?;
        let Some(row) = rows.into_iter().next() else { return Ok(()) };
        let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        let Ok(other) = uuid::Uuid::try_parse(text(0)) else { return Ok(()) };
        let message = format!("another run of {name:?} has not ended: run {other}, record {}, on {}", text(1), text(2));
        Err(StoreError::Running { run_id: RunId(other), message }.into())
    }

    /// The record that is this run's. The number alone proves nothing: in a restored database or a new table it is another run's, or
    /// no run's. A number that is free is taken again.
    fn own(&mut self, known: Option<&Begun>) -> Result<Number, Failure> {
        let here = |locked: &&LockedRun| locked.run.is_in(&self.transaction.shape.record_table);
        let begun = match self.found.as_ref().filter(here) {
            Some(locked) if !locked.owns_record => return Ok(Number::Foreign),
            Some(locked) => locked.run.begun(),
            None => known.cloned(),
        };
        let Some(begun) = begun.filter(|begun| self.transaction.holds(&begun.record_id.0)) else {
            return Ok(Number::Foreign);
        };
        let Some(present) = self.read(&begun.record_id.0)? else { return Ok(Number::Free(begun)) };
        let is_own = self.found.as_ref().filter(here).is_some_and(|locked| locked.run.describes(&present.origin));
        Ok(if is_own { Number::Own(Begun { version: present.version, ..begun }) } else { Number::Foreign })
    }

    /// A run whose adopted record is another run's now gets a record of its own.
    fn adopt_again(&mut self, record_id: &RecordId, known: Option<&Begun>) -> Result<Begun, Failure> {
        match self.adopt(record_id) {
            Err(Failure { error: StoreError::BadInput { .. }, .. }) if known.is_some() => self.insert_new(),
            other => other,
        }
    }

    /// Inserts the row under its old number. If another run has taken the number, the insert fails, and the run begins again.
    fn insert_again(&mut self, remembered: Begun) -> Result<Begun, Failure> {
        let record_id = self.insert(Some(&remembered.record_id), remembered.version.as_deref())?;
        let version = remembered.version.as_deref().filter(|_| self.has_version());
        self.transaction.raise_version(&self.run.name, version)?;
        self.reset()?;
        Ok(Begun { record_id, ..remembered })
    }

    fn read(&mut self, id: &str) -> Result<Option<Present>, Failure> {
        let names = [&["status", "version", "train_end_time"], &Origin::COLUMNS[..]].concat();
        let row = self.transaction.read_columns(id, &names)?;
        let text = |row: &RecordRow, name: &str| row.get(name).map(str::to_owned);
        Ok(row.map(|row| Present {
            status: text(&row, "status").unwrap_or_default(),
            version: text(&row, "version"),
            has_end_time: row.get("train_end_time").is_some(),
            origin: row.origin(&self.transaction.shape.columns),
        }))
    }

    /// The run is as new: an end in the deleted row must be written again.
    fn reset(&mut self) -> Result<(), Failure> {
        let Some(locked) = &self.found else { return Ok(()) };
        let before = locked.run.row();
        let (Some(first), _) = merge(None, &Change::Begin(self.run.clone()), locked.clock) else { return Ok(()) };
        let mut values = run_row::changes(&before, &first);
        // The next change sees the new row.
        let [created_at, started_at] = Origin::default().values();
        values.extend([(created_at.0, self.moves.then(|| Origin::MOVED.to_owned())), started_at]);
        self.transaction.update_run(&self.run.run_id.to_string(), &values)
    }

    fn adopt(&mut self, record_id: &RecordId) -> Result<Begun, Failure> {
        let refused = |why: String, hint: &str| {
            let message = format!("--record-id {record_id}: {why}");
            Failure::from(StoreError::BadInput { message, hint: hint.into() })
        };
        let table = self.transaction.shape.table.clone();
        let no_row = || {
            let hint = "give the id of a row that has been inserted and committed, or leave --record-id out";
            refused(format!("table {table} has no such row"), hint)
        };
        let id = match self.transaction.find(record_id) {
            Ok(id) => id.ok_or_else(no_row)?,
            Err(Failure { class: Class::NoSuchId, .. }) => return Err(no_row()),
            Err(failure) => return Err(failure),
        };
        self.transaction.lock_record(&id)?;
        let Present { status, version, has_end_time, origin } = self.read(&id)?.ok_or_else(no_row)?;
        // Any other word is of an application whose rows wait for their run: `pending`, `queued`, or NULL.
        let status = status.trim_end();
        let has_ended = matches!(Status::parse(status), Some(Status::Completed | Status::Failed));
        if has_ended || (status != "training" && has_end_time) {
            let hint = "a record that has ended is not begun again: leave --record-id out for a new one";
            let end_time = if has_ended { "" } else { " and has an end time" };
            return Err(refused(format!("the row is {status:?}{end_time}"), hint));
        }
        let runs = self.transaction.runs_of(std::slice::from_ref(&id))?;
        if let Some(other) =
            runs.iter().find(|run| run.get("reason").is_none() && run.watch().is_some() && run.describes(&origin))
        {
            let why = format!("run {} watches this row already", other.get("run_id").unwrap_or_default());
            return Err(refused(
                why,
                "wait for that run to end, run `runwrap recover` if its host is gone, or leave --record-id out",
            ));
        }
        self.inherited = runs.into_iter().rfind(|run| run.watch().is_none() && run.describes(&origin));
        self.update(&id)?;
        let given = self.given_version();
        let label = self.run.version.as_deref().filter(|_| given.is_some()).or(version.as_deref());
        self.transaction.raise_version(&self.run.name, label.filter(|_| self.has_version()))?;
        let version = given.or(version).filter(|_| self.has_version());
        Ok(Begun { record_id: RecordId(id), version, table: None })
    }

    /// Whether the row gets a version. A refused one that the user gave is replaced by the next number, a refused number left out.
    fn has_version(&self) -> bool {
        let refused = if self.run.version.is_some() { NEXT_VERSION } else { "version" };
        self.transaction.shape.columns.has("version") && !self.transaction.reduction.omits(refused)
    }

    /// The version that the user gave, as far as the column takes it.
    fn given_version(&self) -> Option<String> {
        let (columns, reduction) = (&self.transaction.shape.columns, self.transaction.reduction);
        let version = self.run.version.as_deref().filter(|_| self.has_version() && !reduction.omits("version"))?;
        let version = columns.version(&reduction.encoded(&without_nul(version), ""))?;
        if version != *self.run.version.as_deref()? {
            log::info!(event = "version_does_not_fit", run_id:% = self.run.run_id, version;
                "the version is recorded as {version}, which fits its column");
        }
        Some(version)
    }

    /// Writes the run's start, and what the user gives, into an adopted row. The rest stays as the application wrote it.
    fn update(&mut self, id: &str) -> Result<(), Failure> {
        let mut values = self.first_values(None, self.given_version().as_deref());
        values.retain(|(name, _)| name != "id" && name != "created_at");
        let assigned = assignments(2, values.iter().map(|(name, _)| name));
        let update = self.transaction.sql("update_record", &[("{assignments}", &assigned), ("{condition}", "TRUE")]);
        let texts: Vec<Option<&str>> =
            [id].into_iter().chain(values.iter().map(|(_, value)| value.as_str())).map(Some).collect();
        let written = self.transaction.session.execute(&update, &texts);
        written.map(|_count| ()).map_err(|failure| self.set_failure(failure))
    }

    /// The columns and values of the row, as far as the database takes them.
    fn first_values(&self, id: Option<&RecordId>, version: Option<&str>) -> Vec<(String, String)> {
        let begun_at = (self.transaction.session.dialect().instant)(self.run.begun_at);
        let mut values = self.transaction.shape.columns.first_values(self.run, id, version, &begun_at);
        let reduction = self.transaction.reduction;
        values.retain(|(name, _)| {
            name == "version" || !reduction.omits(name) || self.run.set.iter().any(|(set, _)| set == name)
        });
        for (name, value) in &mut values {
            if name != "id" {
                *value = reduction.encoded(value, "").into_owned();
            }
        }
        values
    }

    fn insert_new(&mut self) -> Result<Begun, Failure> {
        let mut version = self.given_version();
        let given = self.run.version.as_deref().filter(|_| version.is_some());
        self.transaction.raise_version(&self.run.name, given)?;
        if version.is_none() && self.has_version() {
            let next = self.transaction.next_version(&self.run.name)?;
            version = self.transaction.shape.columns.version(&next);
        }
        Ok(Begun { record_id: self.insert(None, version.as_deref())?, version, table: None })
    }

    /// Inserts a row of the user's table and returns its id. `again` is the id that it must have.
    fn insert(&mut self, again: Option<&RecordId>, version: Option<&str>) -> Result<RecordId, Failure> {
        let unused = if again.is_none() { self.unused_id()? } else { None };
        let values = self.first_values(again.or(unused.as_ref()), version);
        let names = list(values.iter().map(|(name, _)| quote(name)));
        let insert =
            self.transaction.sql("insert_record", &[("{columns}", &names), ("{values}", &places(1, values.len()))]);
        let texts: Vec<Option<&str>> = values.iter().map(|(_, value)| Some(value.as_str())).collect();
        let inserted = self.transaction.text(&insert, &texts).map_err(|failure| {
            let is_taken = failure.class == Class::IdTaken;
            if is_taken && again.is_some() {
                // Another run has taken the old number since it was free.
                Failure { class: Class::Raced, ..failure }
            } else if is_taken && !values.iter().any(|(name, _)| name == "id") {
                // A row inserted again under its old id can be ahead of the table's own counting; the failure advances that.
                let message = format!("{}: the next id of the table is taken already", self.transaction.session.name());
                StoreError::Transient { message }.into()
            } else {
                self.set_failure(failure)
            }
        })?;
        inserted.map(RecordId).ok_or_else(|| {
            let message = format!("table {} returns no id for a new row", self.transaction.shape.table);
            let hint =
                "set it with --set id=VALUE, give the column a default, or let the trigger return the row with its id";
            StoreError::Permanent { message, hint: hint.into() }.into()
        })
    }

    /// An id that no run has had, if the table would give one away twice.
    fn unused_id(&mut self) -> Result<Option<RecordId>, Failure> {
        let is_set = self.run.set.iter().any(|(name, _)| name == "id");
        if is_set || !self.transaction.session.dialect().reuses_ids || !self.transaction.shape.columns.id_is_integer() {
            return Ok(None);
        }
        let next = self.transaction.sql("next_id", &[]);
        Ok(self.transaction.text(&next, &[Some(&self.transaction.shape.record_table)])?.map(RecordId))
    }

    /// A value that does not fit is the user's, if the user gave one.
    fn set_failure(&self, failure: Failure) -> Failure {
        match (failure.class, failure.error) {
            (Class::BadValue, StoreError::Permanent { message, .. }) if !self.run.set.is_empty() => {
                let names: Vec<&str> = self.run.set.iter().map(|(name, _)| name.as_str()).collect();
                let message = format!("--set {}: {message}", names.join(", "));
                StoreError::BadInput { message, hint: "give a value that the type of the column takes".into() }.into()
            }
            (class, error) => Failure { class, error },
        }
    }

    /// The number of the run among those of its job.
    fn next_attempt(&mut self, table: &str) -> Result<Option<u64>, Failure> {
        let Some(job) = self.run.circumstances.job.as_deref().map(without_nul) else { return Ok(None) };
        let job = self.transaction.reduction.encoded(&job, "");
        self.transaction.lock(&format!("runwrap job {table} {job}"))?;
        let next = self.transaction.sql("next_attempt", &[]);
        self.transaction.number(&next, &[Some(table), Some(&job)])
    }

    /// Writes the run's row, which names the user's.
    fn tie(&mut self, begun: &Begun) -> Result<(), Failure> {
        let run_id = self.run.run_id.to_string();
        let table = self.transaction.shape.record_table.clone();
        if let Some(LockedRun { run, clock, .. }) = &self.found {
            let tied = run.begun().filter(|known| run.is_in(&table) && known.record_id == begun.record_id);
            if let Some(known) = tied {
                // The application may change the version of its row.
                let changed = (known.version != begun.version).then(|| ("record_version", begun.version.clone()));
                return self.transaction.update_run(&run_id, changed.as_slice());
            }
            let tied_at = run_row::instant_text(clock.now);
            self.reset()?;
            let values = [
                ("tied_at", Some(tied_at)),
                ("record_table", Some(table)),
                ("record_id", Some(begun.record_id.0.clone())),
                ("record_version", begun.version.clone()),
            ];
            return self.transaction.update_run(&run_id, &values);
        }
        let attempt = self.next_attempt(&table)?;
        let mut values = run_row::first_values(self.run, &table, begun, attempt);
        if let Some(earlier) = &self.inherited {
            inherit(&mut values, earlier);
        }
        // SQLite has no default for a column that was added; elsewhere the default saves a round trip.
        if self.transaction.session.dialect().is_exclusive {
            values.push(("tied_at", Some(run_row::instant_text(self.transaction.clock()?.now))));
        }
        self.transaction.insert_run(&values)
    }
}
